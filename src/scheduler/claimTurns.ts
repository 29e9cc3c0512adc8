import type { ClaimedTimer } from '../core/timer.ts';
import type { Claimer, ClaimParked, Found } from './claimer.ts';
import { leaseRetryMs } from './lease.ts';

/** When to look for what: ahead of due, and behind. */
export interface ClaimTurns {
  /** Looks at what is due to be looked at; resolves with how long to pause before the next turn. */
  turn(): Promise<number>;
  /** There may be unclaimed timers due from this instant on: the next turn polls. */
  lowerFloor(dueAtMs: number): void;
}

const pollEveryMs = 250;
// Reading the reply to a large claim holds up what is due meanwhile: where polls find more than this,
// they come more often.
const smallClaim = 100;
const pollLeastMs = 50;
const pauseLeastMs = 10;

export function createClaimTurns(options: {
  claimer: Pick<
    Claimer,
    | 'poll'
    | 'sweepStep'
    | 'sampleClock'
    | 'sweepDueInMs'
    | 'hasMore'
    | 'hasMoreAhead'
    | 'lowerFloor'
  >;
  /** Of one statement. */
  rowsMax: number;
  /** The identity to claim under; undefined while nothing may be claimed. */
  owner: () => number | undefined;
  /** Rows for which there is room, in all and in the share of the backlog. */
  room: () => number;
  roomOfBacklog: () => number;
  /** Where some of these may not start, a promise that resolves when they are parked. */
  takeIn: (owner: number, timers: readonly ClaimedTimer[]) => Promise<void> | undefined;
  /** These were parked by the claim itself. */
  onParked: (parked: readonly ClaimParked[]) => void;
  monotonicMs: () => number;
  /** A number in [0, 1). */
  random: () => number;
}): ClaimTurns {
  const { claimer, rowsMax, owner, room, roomOfBacklog, takeIn, onParked } = options;
  const { monotonicMs, random } = options;
  let pollDueAtMs = -Infinity;
  let wakes = 0;
  /** Those before the last poll that was answered. */
  let wakesSeen = 0;

  async function poll(as: number): Promise<void> {
    if (monotonicMs() < pollDueAtMs && wakes === wakesSeen && !claimer.hasMoreAhead()) return;
    const wakesBefore = wakes;
    const rows = Math.min(rowsMax, room());
    const found = rows < 1 ? 0 : await take(as, () => claimer.poll(as, rows));
    wakesSeen = wakesBefore;
    // Spread at random: of two processes that poll in step, the second finds only what came due
    // between them (221 of 5,000 timers, 11 ms behind in 250).
    const everyMs = Math.max(pollLeastMs, pollEveryMs * Math.min(1, smallClaim / found));
    pollDueAtMs = monotonicMs() + everyMs * (1 - random() / 2);
    if (found > 0 && !claimer.hasMore()) await claimer.sampleClock();
  }

  async function sweep(as: number): Promise<void> {
    const rows = Math.min(rowsMax, roomOfBacklog());
    if (rows >= 1) await take(as, () => claimer.sweepStep(as, rows));
  }

  async function take(as: number, look: () => Promise<Found>): Promise<number> {
    const { timers, parked: parkedAtOnce } = await look();
    if (parkedAtOnce.length > 0) onParked(parkedAtOnce);
    const parked = timers.length > 0 ? takeIn(as, timers) : undefined;
    // Who claims only to park does not go on claiming beside it.
    if (parked !== undefined) await atMost(pollEveryMs, parked);
    return timers.length;
  }

  return {
    async turn() {
      const as = owner();
      if (as === undefined) return leaseRetryMs;
      await poll(as);
      await sweep(as);
      if (claimer.hasMore()) return 0;
      return Math.max(pauseLeastMs, Math.min(pollDueAtMs - monotonicMs(), claimer.sweepDueInMs()));
    },
    lowerFloor(dueAtMs) {
      wakes += 1;
      claimer.lowerFloor(dueAtMs);
    },
  };
}

/** Waits until it is done, but no longer than so many milliseconds. */
function atMost(ms: number, done: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void done.finally(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
