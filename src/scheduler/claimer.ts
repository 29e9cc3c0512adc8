import { randomInt } from 'node:crypto';
import type { MachineClock } from '../core/clock.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import type { DatabaseClock } from './databaseClock.ts';
import { createTokenBucket } from './tokenBucket.ts';

/** A place in the order of `(next_at, id)`. */
export interface Floor {
  readonly nextAtMs: number;
  readonly id: number;
}

interface ClaimOptions {
  readonly floor: Floor;
  readonly lookAheadMs: number;
  readonly rowsMax: number;
  readonly owner: number;
  readonly claim: number;
}

type PullOptions = Pick<ClaimOptions, 'rowsMax' | 'owner' | 'claim'> & { readonly lane: number };

interface Claimed {
  readonly timers: readonly ClaimedTimer[];
  readonly databaseNowMs: number;
}

/** What claiming needs of the store. */
export interface ClaimStore {
  claimAhead(options: ClaimOptions): Promise<Claimed>;
  sweep(options: ClaimOptions & { lostClaims: readonly number[] }): Promise<Claimed>;
  pull(options: PullOptions): Promise<Claimed>;
  probe(
    options: Omit<PullOptions, 'rowsMax' | 'lane'> & {
      readonly lanes: readonly number[];
      readonly againInMs: number;
    },
  ): Promise<Claimed>;
  /** The database's clock, in milliseconds of the Unix epoch. */
  readClock(): Promise<number>;
  declareDead(): Promise<number[]>;
  /** Deletes processes that died so long ago. */
  forget(ageMs: number): Promise<void>;
}

/**
 * Where to look next. Two cursors over the index of next_at, both moving forward so that neither
 * reads again through timers that are owned already or dead entries that vacuum cannot remove yet:
 *
 * - the *ordinary* floor starts at the clock when this process starts and follows what was claimed;
 * - the *sweep* goes from the beginning in steps, and starts over about every second. It takes what
 *   lies behind the ordinary floor: backlog, late commits, timers of dead owners. It may take up
 *   only a share of the room, so timers that are due now do not wait behind a backlog.
 */
export interface Claimer {
  /** One ordinary poll, at most `rowsMax` timers. */
  poll(owner: number, rowsMax: number): Promise<readonly ClaimedTimer[]>;
  /** One step of the sweep, if one is due. */
  sweepStep(owner: number, rowsMax: number): Promise<readonly ClaimedTimer[]>;
  /** Due timers that wait in a lane, at most `rowsMax`. */
  pull(owner: number, lane: number, rowsMax: number): Promise<readonly ClaimedTimer[]>;
  /** The first due timer of each closed lane, if no process has had one within so long. */
  probe(
    owner: number,
    lanes: readonly number[],
    againInMs: number,
  ): Promise<readonly ClaimedTimer[]>;
  /**
   * Asks the database for its clock alone. The reply to a claim is read only after its rows: with a
   * few hundred of them the bound lay 0.5 ms behind the clock, and so did every firing.
   */
  sampleClock(): Promise<void>;
  /** Milliseconds until the next sweep step is due; 0 while a pass is under way. */
  sweepDueInMs(): number;
  /** The next ordinary poll starts no later than at timers due at this instant. */
  lowerFloor(dueAtMs: number): void;
  /** A fresh claim token. */
  newClaim(): number;
  /** A statement with this claim has an unknown outcome: timers under it belong to nobody. */
  lostClaim(claim: number): void;
}

const sweepEveryMs = 1_000;
/** Where a step takes long (an old snapshot holds dead entries), the next pass waits longer. */
const sweepTimeShare = 0.05;
const sweepEveryMaxMs = 10_000;
/** Longer than any statement can run; after that a lost one can commit no more. */
const lostClaimKeptMs = 10 * 60_000;
const forgetAfterMs = 10 * 60_000;
const start: Floor = { nextAtMs: -Infinity, id: 0 };

export function createClaimer(options: {
  store: ClaimStore;
  clock: MachineClock;
  databaseClock: DatabaseClock;
  lookAheadMs: number;
  /** Overdue timers taken up per second; undefined for no limit. */
  catchUpRate: number | undefined;
}): Claimer {
  const { store, clock, databaseClock, lookAheadMs, catchUpRate } = options;
  const catchUp =
    catchUpRate === undefined ? undefined : createTokenBucket({ perSecond: catchUpRate, clock });
  let floor: Floor | undefined;
  let sweepFloor = start;
  let sweepDueAtMs = -Infinity;
  let longestStepMs = 0;
  let passBeganAtMs = -Infinity;
  const lostClaims = new Map<number, number>();

  function newClaim(): number {
    return randomInt(1, 2 ** 48 - 1);
  }

  async function timed(
    claim: number,
    statement: () => Promise<Claimed>,
  ): Promise<readonly ClaimedTimer[]> {
    const sentAtMs = clock.monotonicMs();
    try {
      const { timers, databaseNowMs } = await statement();
      databaseClock.sample(databaseNowMs, sentAtMs, clock.monotonicMs());
      return timers;
    } catch (err) {
      lostClaims.set(claim, clock.monotonicMs());
      throw err;
    }
  }

  /** At the end of a pass: it has taken what was lost long before it began. */
  function forgetLostClaims(): void {
    const oldest = passBeganAtMs - lostClaimKeptMs;
    for (const [claim, sinceMs] of lostClaims) if (sinceMs < oldest) lostClaims.delete(claim);
  }

  return {
    async poll(owner, rowsMax) {
      floor ??= { nextAtMs: Math.floor(databaseClock.nowMs()), id: 0 };
      // After an outage of the database, what fell due meanwhile is backlog: with a limit on that,
      // it is left to the sweep.
      const overdueMs = databaseClock.nowMs() - lookAheadMs;
      if (catchUp !== undefined && floor.nextAtMs < overdueMs) {
        floor = { nextAtMs: Math.floor(overdueMs), id: 0 };
      }
      const from = floor;
      const claim = newClaim();
      const timers = await timed(claim, () =>
        store.claimAhead({ floor: from, lookAheadMs, rowsMax, owner, claim }),
      );
      const last = lastOf(timers);
      // A wake-up meanwhile has lowered the floor: then it stays there.
      if (last !== undefined && floor === from) floor = last;
      return timers;
    },
    async sweepStep(owner, rowsMax) {
      const startedAtMs = clock.monotonicMs();
      if (startedAtMs < sweepDueAtMs) return [];
      const rows = Math.min(rowsMax, catchUp?.available() ?? rowsMax);
      if (rows < 1) return [];
      if (sweepFloor === start) {
        longestStepMs = 0;
        passBeganAtMs = startedAtMs;
        await store.declareDead();
      }
      const claim = newClaim();
      const timers = await timed(claim, () =>
        store.sweep({
          floor: sweepFloor,
          lookAheadMs,
          rowsMax: rows,
          owner,
          claim,
          lostClaims: [...lostClaims.keys()],
        }),
      );
      catchUp?.take(timers.length);
      longestStepMs = Math.max(longestStepMs, clock.monotonicMs() - startedAtMs);
      if (timers.length === rows) {
        sweepFloor = lastOf(timers) ?? start;
      } else {
        sweepFloor = start;
        const restMs = Math.max(sweepEveryMs, longestStepMs / sweepTimeShare);
        sweepDueAtMs = clock.monotonicMs() + Math.min(restMs, sweepEveryMaxMs);
        forgetLostClaims();
        // The pass has taken all that was held by those who were dead when it began. Who died since
        // may own timers behind it, which nobody could take over without the mark of that death.
        const passAgeMs = clock.monotonicMs() - passBeganAtMs;
        await store.forget(Math.max(forgetAfterMs, 2 * passAgeMs));
      }
      return timers;
    },
    pull(owner, lane, rowsMax) {
      const claim = newClaim();
      return timed(claim, () => store.pull({ lane, owner, claim, rowsMax }));
    },
    probe(owner, lanes, againInMs) {
      const claim = newClaim();
      return timed(claim, () => store.probe({ lanes, owner, claim, againInMs }));
    },
    async sampleClock() {
      const sentAtMs = clock.monotonicMs();
      databaseClock.sample(await store.readClock(), sentAtMs, clock.monotonicMs());
    },
    sweepDueInMs() {
      const waitMs = Math.max(0, sweepDueAtMs - clock.monotonicMs());
      return catchUp === undefined ? waitMs : Math.max(waitMs, catchUp.nextInMs());
    },
    lowerFloor(dueAtMs) {
      // Before the first poll too: a wake-up for later must not hide what is due before it.
      floor ??= { nextAtMs: Math.floor(databaseClock.nowMs()), id: 0 };
      if (dueAtMs <= floor.nextAtMs) floor = { nextAtMs: dueAtMs, id: 0 };
    },
    newClaim,
    lostClaim: (claim) => void lostClaims.set(claim, clock.monotonicMs()),
  };
}

function lastOf(timers: readonly ClaimedTimer[]): Floor | undefined {
  let last: ClaimedTimer | undefined;
  for (const timer of timers) {
    if (
      last === undefined ||
      timer.nextAtMs > last.nextAtMs ||
      (timer.nextAtMs === last.nextAtMs && timer.id > last.id)
    ) {
      last = timer;
    }
  }
  // Not the timer itself: its body would stay in memory with it.
  return last === undefined ? undefined : { nextAtMs: last.nextAtMs, id: last.id };
}
