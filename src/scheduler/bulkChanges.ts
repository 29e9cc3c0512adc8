import type { BulkAction, BulkPlan, BulkStep, BulkTotals, BulkWish } from '../core/bulkChange.ts';
import type { BulkTokens } from '../core/bulkToken.ts';
import type { MachineClock } from '../core/clock.ts';
import type { ListPosition } from '../core/cursor.ts';
import { BelfryError } from '../core/errors.ts';
import type { TimerId } from '../core/ids.ts';
import type { TimerFilter } from '../core/timerFilter.ts';

/** Finds timers; see store/listPages. */
export interface TimerWalk {
  identities(query: {
    readonly projectId: number;
    readonly filter: TimerFilter;
    readonly order: 'newest';
    readonly position: ListPosition | null;
    readonly limit: number;
  }): Promise<{
    readonly entries: readonly { readonly id: TimerId }[];
    readonly examined: number;
    readonly next: ListPosition | null;
  }>;
  /** By the database's clock, rounded up. */
  nowMs(): Promise<number>;
}

/** Does it to one timer; false when it was too late. May throw `owner_unresponsive`. */
export type BulkChange = (projectId: number, id: TimerId) => Promise<boolean>;

/** A step answers after so long, or little more: short enough for a shutdown to wait for it. */
const stepMs = 2_000;
/** Timers changed at a time: as many as a batch of statements takes without others having to wait. */
const batch = 200;
const countedAtOnce = 5_000;

/**
 * Changes all timers that a filter finds, each as if it were asked for alone, from the newest down. A
 * dry run counts them; a step goes on for `stepMs` from where its token says. A step that failed or
 * whose answer was lost is repeated with the same token: what is changed already does not match any
 * more (but for what was retried and has failed again), and is not counted again. Timers created after the dry run are not touched.
 */
export function createBulkChanges(options: {
  walk: TimerWalk;
  changes: Readonly<Record<BulkAction, BulkChange>>;
  tokens: BulkTokens;
  clock: Pick<MachineClock, 'monotonicMs'>;
  /** Ends a step early. */
  signal: AbortSignal;
}) {
  const { walk, changes, tokens, clock, signal } = options;

  /** Goes over what is found until the time is up; resolves with where it stopped. */
  async function walkOn(
    { projectId, filter }: BulkWish,
    start: ListPosition | null,
    limit: number,
    visit: (ids: readonly TimerId[], examined: number) => Promise<void> | void,
  ): Promise<ListPosition | null> {
    const endMs = clock.monotonicMs() + stepMs;
    let position = start;
    do {
      const query = { projectId, filter, order: 'newest', position, limit } as const;
      const { entries, examined, next } = await walk.identities(query);
      await visit(
        entries.map(({ id }) => id),
        examined,
      );
      position = next;
    } while (position !== null && clock.monotonicMs() < endMs && !signal.aborted);
    return position;
  }

  return {
    async plan(wish: BulkWish): Promise<BulkPlan> {
      // Creation is kept in whole milliseconds, rounded up: that of just now still counts.
      const untilMs = (await walk.nowMs()) + 1;
      const createdBeforeMs = Math.min(untilMs, wish.filter.createdBeforeMs ?? Infinity);
      const meant = { ...wish, filter: { ...wish.filter, createdBeforeMs } };
      let count = 0;
      const rest = await walkOn(meant, null, countedAtOnce, (ids) => {
        count += ids.length;
      });
      const totals = { changed: 0, skipped: 0, failed: 0, examined: 0 };
      const token = tokens.write({ createdBeforeMs, place: null, totals }, wish);
      return { count, isComplete: rest === null, token };
    },

    /**
     * `begin` is called once the token holds, before anything is changed.
     * @throws BelfryError `validation_failed` that names `token`.
     */
    async step(wish: BulkWish, token: unknown, begin: () => Promise<void>): Promise<BulkStep> {
      const { createdBeforeMs, place, totals: before } = tokens.read(token, wish);
      await begin();
      const meant = { ...wish, filter: { ...wish.filter, createdBeforeMs } };
      const start = place === null ? null : ({ order: 'newest', ...place } as const);
      let totals = before;
      const rest = await walkOn(meant, start, batch, async (ids, examined) => {
        totals = { ...totals, examined: totals.examined + examined };
        for (const outcome of await changeEach(wish, ids)) {
          totals = { ...totals, [outcome]: totals[outcome] + 1 };
        }
      });
      if (rest?.order !== 'newest') return { totals, token: null };
      const { beforeId, fromId } = rest;
      const state = { createdBeforeMs, place: { beforeId, fromId }, totals };
      return { totals, token: tokens.write(state, wish) };
    },
  };

  /** Waits for all of them, also when one fails: nothing goes on behind an answer. */
  async function changeEach(
    { projectId, action }: BulkWish,
    ids: readonly TimerId[],
  ): Promise<Exclude<keyof BulkTotals, 'examined'>[]> {
    const change = changes[action];
    const outcomes = await Promise.allSettled(
      ids.map(async (id) => {
        try {
          return (await change(projectId, id)) ? 'changed' : 'skipped';
        } catch (err) {
          if (err instanceof BelfryError && err.code === 'owner_unresponsive') return 'failed';
          throw err;
        }
      }),
    );
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
  }
}

export type BulkChanges = ReturnType<typeof createBulkChanges>;
