import { machineClock, type MachineClock } from '../core/clock.ts';
import type { ListOrder, ListPosition } from '../core/cursor.ts';
import type { TimerId } from '../core/ids.ts';
import type { TimerStatus, TimerSummary } from '../core/timer.ts';
import type { TimerFilter } from '../core/timerFilter.ts';
import type { Database } from './database.ts';
import { createTimerLister, type Found, type StoredStatus } from './listTimers.ts';

/** One page of a list, or one batch of a walk. */
export interface Page<Entry> {
  readonly entries: readonly Entry[];
  readonly examined: number;
  /** Where to go on; null at the end. */
  readonly next: ListPosition | null;
}

export interface PageQuery {
  readonly projectId: number;
  readonly filter: TimerFilter;
  readonly order: ListOrder;
  /** Null to begin. */
  readonly position: ListPosition | null;
  readonly limit: number;
}

/** After so long a page goes out with what it has. */
const pageMs = 100;

/**
 * Pages of timers with the status that `GET /timers/{id}` shows: `statusOf` knows of attempts under
 * way. A page costs what its own rows cost, wherever it lies; where few timers match, it looks for a
 * tenth of a second and says where to go on.
 */
export function createTimerPages(options: {
  /** Its connections have `listSettings`. */
  database: Database;
  statusOf: (stored: StoredStatus) => TimerStatus;
  clock?: Pick<MachineClock, 'monotonicMs'>;
}) {
  const { database, statusOf, clock = machineClock } = options;
  const lister = createTimerLister(database);

  async function fill<Stored extends StoredStatus>(
    query: PageQuery,
    step: (position: ListPosition, rowsMax: number) => Promise<Found<Stored>>,
  ): Promise<Page<Stored>> {
    const { projectId, filter, order, limit } = query;
    const endMs = clock.monotonicMs() + pageMs;
    const entries: Stored[] = [];
    let next: ListPosition | null =
      query.position ?? (await lister.start(order, projectId, filter));
    let examined = 0;
    while (next !== null && entries.length < limit) {
      const found = await step(next, limit - entries.length);
      for (const stored of found.entries) {
        const status = statusOf(stored);
        if (filter.statuses?.includes(status) === false) continue;
        entries.push({ ...stored, timer: { ...stored.timer, status } });
      }
      examined += found.examined;
      next = found.next;
      if (clock.monotonicMs() >= endMs) break;
    }
    return { entries, examined, next };
  }

  return {
    nowMs: lister.nowMs,
    async summaries(query: PageQuery): Promise<Page<TimerSummary>> {
      const { projectId, filter } = query;
      const page = await fill(query, (position, rowsMax) =>
        lister.summaries({ projectId, filter, position, rowsMax }),
      );
      return { ...page, entries: page.entries.map(({ timer }) => timer) };
    },
    async identities(
      query: PageQuery,
    ): Promise<Page<{ readonly id: TimerId; readonly status: TimerStatus }>> {
      const { projectId, filter } = query;
      const page = await fill(query, (position, rowsMax) =>
        lister.identities({ projectId, filter, position, rowsMax }),
      );
      return { ...page, entries: page.entries.map(({ timer }) => timer) };
    },
  };
}

export type TimerPages = ReturnType<typeof createTimerPages>;
