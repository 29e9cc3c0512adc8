import type { DestinationBook, DestinationSettings } from '../core/destination.ts';
import { originOf } from '../core/target.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import type { Destination } from './destinationLanes.ts';
import type { Admission } from './holdings.ts';

interface Allowance {
  readonly subject: string;
  readonly perSecond: number;
  readonly burst: number;
}

/** Whether destinations take timers, by the rate and the concurrency that are set for them. */
export interface Admissions {
  /** Of a due timer; undefined: not now. At once, but for the first token of a block. */
  admit(
    timer: Pick<ClaimedTimer, 'projectId' | 'expiresAtMs' | 'request'>,
  ): Admission | undefined | Promise<Admission | undefined>;
  /** For timers that are to be pulled out of a lane, `most` at the most. */
  reserve(destination: Destination, most: number): Promise<Admission[]>;
  /** Of a reservation, what nobody was found for. */
  giveBack(destination: Destination, admissions: readonly Admission[]): void;
  /** Looks which processes live: about once a second. */
  refresh(): Promise<void>;
}

/** What this process has of a destination. */
interface Share {
  allowance: Allowance | undefined;
  /** Attempts under way here. */
  active: number;
  /** Tokens that were taken, and used for nothing yet. */
  spare: number;
  spareUntilMs: number;
}

/** Where nothing is set: for all. */
const free: Admission = { isProbe: false, end: () => undefined };
/** As a block of allowances does. */
const spareForMs = 500;
/** Of a rate, what may come at once after a pause. */
const burstMs = 500;
const sharesMax = 10_000;
/** All look once a second. */
const knownToAllMs = 2_000;

/**
 * A rate is of all processes: tokens come from the allowance that they share. So is concurrency, by
 * division: of P processes that live, the one of rank r (by id) has floor(c / P) permits, and one more
 * where r < c mod P. That takes no statement an attempt, and the permits of a process that dies come back
 * with the end of its heartbeat: until then there are fewer. One that comes to others has none before they
 * have seen it; attempts that they have under way by then, beyond what they have now, are not broken off,
 * and until those end there may be more. Whoever has none parks what it claims, and another pulls it.
 */
export function createAdmissions(options: {
  book: DestinationBook;
  take: (allowances: readonly Allowance[]) => boolean | Promise<boolean>;
  /** Processes that fire timers, in the order of ids. */
  living: () => Promise<readonly number[]>;
  owner: () => number | undefined;
  /** A lower bound of the database's clock. */
  nowMs: () => number;
  monotonicMs: () => number;
  /** A permit has come free. */
  onFreed: (destination: Destination) => void;
}): Admissions {
  const { book, take, living, owner, nowMs, monotonicMs, onFreed } = options;
  const shares = new Map<string, Share>();
  let processes: readonly number[] = [];
  /** When this process found itself among them. */
  let knownFromMs = -Infinity;
  /** Of what nobody was found for, or no token: there is nothing to look for. */
  let isWithdrawing = false;

  function shareOf({ projectId, origin }: Destination, settings: DestinationSettings): Share {
    const subject = `destination:${projectId}:${origin}`;
    let share = shares.get(subject);
    if (share === undefined) {
      if (shares.size >= sharesMax) forgetIdle();
      share = { allowance: undefined, active: 0, spare: 0, spareUntilMs: -Infinity };
      shares.set(subject, share);
    }
    const { ratePerSecond } = settings;
    if (share.allowance?.perSecond !== (ratePerSecond ?? undefined)) {
      share.spare = 0;
      share.allowance =
        ratePerSecond === null ? undefined : { subject, ...bucketOf(ratePerSecond) };
    }
    return share;
  }

  function forgetIdle(): void {
    const now = monotonicMs();
    for (const [subject, { active, spareUntilMs }] of shares) {
      if (active === 0 && spareUntilMs < now) shares.delete(subject);
    }
  }

  function permitsOf(concurrencyMax: number | null): number {
    if (concurrencyMax === null) return Infinity;
    const self = owner();
    const rank = self === undefined ? -1 : processes.indexOf(self);
    if (rank === -1) return 0;
    if (processes.length > 1 && monotonicMs() - knownFromMs < knownToAllMs) return 0;
    const rest = concurrencyMax % processes.length;
    return Math.floor(concurrencyMax / processes.length) + (rank < rest ? 1 : 0);
  }

  function tokenOf(share: Share): boolean | Promise<boolean> {
    const { allowance } = share;
    if (allowance === undefined) return true;
    if (share.spare > 0 && monotonicMs() < share.spareUntilMs) {
      share.spare -= 1;
      return true;
    }
    return take([allowance]);
  }

  function admissionTo(destination: Destination, share: Share): Admission {
    share.active += 1;
    let isOver = false;
    return {
      isProbe: false,
      end() {
        if (isOver) return;
        isOver = true;
        share.active -= 1;
        if (!isWithdrawing) onFreed(destination);
      },
    };
  }

  function withdraw(admissions: readonly Admission[]): void {
    isWithdrawing = true;
    for (const admission of admissions) admission.end();
    isWithdrawing = false;
  }

  async function ifGranted(
    token: Promise<boolean>,
    admission: Admission,
  ): Promise<Admission | undefined> {
    // The rate could not be asked for: the timer waits, like one that it has refused.
    if (await token.catch(() => false)) return admission;
    withdraw([admission]);
    return undefined;
  }

  return {
    admit({ projectId, expiresAtMs, request }) {
      const settings = book.settingsOfUrl(projectId, request.url);
      if (settings === undefined) return free;
      const { concurrencyMax, ratePerSecond } = settings;
      if (concurrencyMax === null && ratePerSecond === null) return free;
      // It is not sent any more.
      if (expiresAtMs !== null && expiresAtMs <= nowMs()) return free;
      const destination = { projectId, origin: originOf(request.url) };
      const share = shareOf(destination, settings);
      if (share.active >= permitsOf(concurrencyMax)) return undefined;
      const admission = admissionTo(destination, share);
      const token = tokenOf(share);
      if (token === true) return admission;
      if (token !== false) return ifGranted(token, admission);
      withdraw([admission]);
      return undefined;
    },
    async reserve(destination, most) {
      const settings = book.settingsOf(destination.projectId, destination.origin);
      if (settings === undefined) return Array.from({ length: most }, () => free);
      const share = shareOf(destination, settings);
      const admissions: Admission[] = [];
      while (
        admissions.length < most &&
        share.active < permitsOf(settings.concurrencyMax) &&
        (await tokenOf(share))
      ) {
        admissions.push(admissionTo(destination, share));
      }
      return admissions;
    },
    giveBack({ projectId, origin }, admissions) {
      const settings = book.settingsOf(projectId, origin);
      if (settings !== undefined && admissions.length > 0) {
        const share = shareOf({ projectId, origin }, settings);
        if (share.allowance !== undefined) {
          const now = monotonicMs();
          share.spare = admissions.length + (now < share.spareUntilMs ? share.spare : 0);
          share.spareUntilMs = now + spareForMs;
        }
      }
      withdraw(admissions);
    },
    async refresh() {
      if (!book.hasAny()) return;
      const before = processes;
      processes = await living();
      const self = owner();
      if (self !== undefined && !before.includes(self)) knownFromMs = monotonicMs();
    },
  };
}

function bucketOf(perSecond: number): { perSecond: number; burst: number } {
  return { perSecond, burst: Math.max(1, Math.ceil((perSecond * burstMs) / 1_000)) };
}
