/**
 * What is known of how much of its counted quotas a project has used, shared by all processes.
 *
 * Counting live timers costs a scan, and counting them at every create would make creates wait for
 * each other. So a process holds some timers in advance, creates them without asking, and reports what
 * came of them a quarter of a second later, with what it saw end. `live` plus what is held is never less
 * than what there is (but for a process that dies with ends unreported, which makes it more): near a
 * limit this errs on the strict side. Where it says that nothing is free, the timers are counted, at most
 * a twentieth of the time: that is the truth, and heals what a death has left.
 */
export interface Ledger {
  /** Live timers, as far as reported; null: they have not been counted yet. */
  readonly live: number | null;
  /** What was added to `live` since the count under way began; may be negative. */
  readonly sinceCount: number;
  /** Of the count that began last: an older one says nothing any more. */
  readonly countId: number;
  readonly countBeganAtMs: number;
  /** Not counted again before. */
  readonly recountAtMs: number;
  /** Counted again from then on, whether or not there is need to. */
  readonly staleAtMs: number;
  /** Days of the Unix epoch. */
  readonly day: number;
  readonly created: number;
  readonly holds: Readonly<Record<string, readonly [count: number, untilMs: number]>>;
}

/** A process's report on a project, and what it would like to create. */
export interface Wish {
  /** The process. */
  readonly holder: string;
  /** Timers it holds that it has not reported on: under way, and in stock. */
  readonly held: number;
  /** Since its last report: timers that came to live, that ended, that were created. */
  readonly revived: number;
  readonly ended: number;
  readonly created: number;
  /** Callers that wait, and how many more would be good to have in advance. */
  readonly wanted: number;
  readonly ahead: number;
  /** Null: not bounded. */
  readonly liveMax: number | null;
  readonly createsMax: number | null;
}

export interface Granted {
  readonly granted: number;
  /** Which quota left less than was wanted. */
  readonly short: 'liveTimers' | 'createsPerDay' | null;
  /** As far as is known, those held in advance included. */
  readonly live: number;
  readonly created: number;
  /** Whoever gets it has to count; then `counted` with it. */
  readonly countId: number | null;
  /** Until a count may begin, or may be through. */
  readonly recountInMs: number;
}

/** A process that has not reported for so long is dead: what it held may all have been created. */
const holdMs = 10_000;
/** A count that has not come back by then may be begun anew. */
const countPatienceMs = 30_000;
const countShare = 20;
const recountLeastMs = 50;
/** When to look again where another process is counting. */
const countHintMs = 20;
/** What is known is counted anew after so long, or when that would take more than 1/200 of the time. */
const staleMs = 60_000;
const staleShare = 200;
/** The first count misses what processes create that do not know of the quota yet: the second does not. */
const firstStaleMs = 2_000;
/** What is reported so soon after a count began may have ended before it, and is not taken off twice. */
const reportedWithinMs = 1_500;
/** So much of what is free may lie in stock of one process. */
const stockShare = 16;
const dayMs = 86_400_000;

export const emptyLedger: Ledger = {
  live: null,
  sinceCount: 0,
  countId: 0,
  countBeganAtMs: 0,
  recountAtMs: 0,
  staleAtMs: 0,
  day: 0,
  created: 0,
  holds: {},
};

/** What becomes of the ledger by a wish, and what the process gets. */
export function take(before: Ledger, wish: Wish, nowMs: number): [Ledger, Granted] {
  const { holder, wanted, liveMax, createsMax } = wish;
  const day = Math.floor(nowMs / dayMs);
  const holds = new Map(Object.entries(before.holds));
  holds.delete(holder);
  let lost = 0;
  let heldByOthers = 0;
  for (const [name, [count, untilMs]] of holds) {
    if (untilMs > nowMs) heldByOthers += count;
    else {
      holds.delete(name);
      lost += count;
    }
  }
  const ended = nowMs - before.countBeganAtMs < reportedWithinMs ? 0 : wish.ended;
  const change = wish.created + wish.revived + lost - ended;
  const live = before.live === null ? null : Math.max(0, before.live + change);
  const created = (before.day === day ? before.created : 0) + wish.created + lost;
  const outstanding = heldByOthers + wish.held;
  const isUnknown = liveMax !== null && live === null;
  const freeLive =
    liveMax === null ? Infinity : isUnknown ? 0 : liveMax - (live ?? 0) - outstanding;
  const freeCreates = createsMax === null ? Infinity : createsMax - created - outstanding;
  const free = Math.max(0, Math.min(freeLive, freeCreates));
  const forNow = Math.min(wanted, free);
  const inAdvance = Math.min(wish.ahead, Math.floor((free - forNow) / stockShare));
  const granted = forNow + Math.max(0, inAdvance);
  if (wish.held + granted > 0) holds.set(holder, [wish.held + granted, nowMs + holdMs]);
  const short = forNow === wanted ? null : freeLive <= freeCreates ? 'liveTimers' : 'createsPerDay';
  const mayCount = nowMs >= before.recountAtMs && liveMax !== null;
  const isUnderWay = before.recountAtMs === before.countBeganAtMs + countPatienceMs;
  const counts = mayCount && (isUnknown || short === 'liveTimers' || nowMs >= before.staleAtMs);
  const after: Ledger = {
    ...before,
    live,
    sinceCount: counts ? 0 : before.sinceCount + change,
    countId: before.countId + (counts ? 1 : 0),
    countBeganAtMs: counts ? nowMs : before.countBeganAtMs,
    recountAtMs: counts ? nowMs + countPatienceMs : before.recountAtMs,
    day,
    created,
    holds: Object.fromEntries(holds),
  };
  return [
    after,
    {
      granted,
      short,
      live: (live ?? 0) + outstanding,
      created: created + outstanding,
      countId: counts ? after.countId : null,
      recountInMs: isUnderWay ? countHintMs : Math.max(0, after.recountAtMs - nowMs),
    },
  ];
}

/** The ledger after a count that took so long; the same when another count has begun since. */
export function counted(
  before: Ledger,
  result: { readonly countId: number; readonly count: number; readonly tookMs: number },
  nowMs: number,
): Ledger {
  const { countId, count, tookMs } = result;
  if (countId !== before.countId) return before;
  const freshMs = before.live === null ? firstStaleMs : Math.max(staleMs, staleShare * tookMs);
  return {
    ...before,
    live: Math.max(0, count + before.sinceCount),
    recountAtMs: nowMs + Math.max(recountLeastMs, countShare * tookMs),
    staleAtMs: nowMs + freshMs,
  };
}
