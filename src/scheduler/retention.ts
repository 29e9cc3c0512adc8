import {
  isPast,
  retentionOf,
  type PartitionedTable,
  type PartitionRange,
  type Retention,
} from '../core/partitionPlan.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Turn } from './chores.ts';

interface Partition extends PartitionRange {
  readonly table: PartitionedTable;
  readonly name: string;
}

interface DetachedTable {
  readonly table: PartitionedTable;
  readonly name: string;
  readonly pages: number;
  readonly rows: number | null;
}

/** What retention needs of the store. */
export interface RetentionStore {
  readPartitions(): Promise<{ nowMs: number; partitions: Partition[] }>;
  detach(partition: Partition): Promise<'detached' | 'busy' | 'gone'>;
  detached(): Promise<DetachedTable[]>;
  forgetLabels(table: DetachedTable, fromPage: number, pages: number): Promise<number>;
  drop(table: DetachedTable): Promise<boolean>;
  deleteRest(
    table: PartitionedTable,
    retentionMs: number,
    rowsMax: number,
  ): Promise<{ rows: number; labels: number }>;
}

const tables = ['history_done', 'history_failed', 'attempts'] as const;

/** Partitions taken out in one run: a backlog is worked off over several. */
const detachedMax = 6;
/** A mebibyte, in which some thousand timers lie. */
const pagesAtOnce = 128;
const restRowsAtOnce = 1_000;
const restRoundsMax = 20;

/**
 * Removes what ended longer ago than its retention, by whole partitions: out of its table first,
 * then the labels of its timers, then the rest of it.
 *
 * In that order, because a timer can be taken back from history to run again, and then keeps its
 * labels: once the partition is out of its table nobody finds a timer in it to take back, and one
 * taken back before is not in it any more. A process that dies in between leaves a table that the
 * next run finds by its name, and labels that lead to no timer, as if they were gone.
 */
export function createRetention(options: {
  store: RetentionStore;
  retention: Retention;
  metrics: Pick<Metrics, 'partitionsDropped' | 'pastRowsDeleted' | 'oldestPartition'>;
  log: Logger;
}): { run(turn: Turn): Promise<void> } {
  const { store, retention, metrics, log } = options;

  async function detachPast(turn: Turn): Promise<boolean> {
    const { nowMs, partitions } = await store.readPartitions();
    showOldest(partitions);
    const past = partitions
      .filter((range) => isPast(range, { nowMs, retentionMs: retentionOf(range.table, retention) }))
      .toSorted((a, b) => a.toMs - b.toMs);
    for (const partition of past.slice(0, detachedMax)) {
      if (!(await turn.mayGoOn())) return false;
      if ((await store.detach(partition)) !== 'busy') continue;
      // Whoever holds it holds the others most likely too: each try would make others wait.
      log.debug({ partition: partition.name }, 'a partition past its retention is being read');
      break;
    }
    return true;
  }

  function showOldest(partitions: readonly Partition[]): void {
    for (const table of tables) {
      const starts = partitions
        .filter((partition) => partition.table === table && Number.isFinite(partition.fromMs))
        .map(({ fromMs }) => fromMs);
      if (starts.length > 0) metrics.oldestPartition.set({ table }, Math.min(...starts) / 1_000);
    }
  }

  async function remove(detached: DetachedTable, turn: Turn): Promise<boolean> {
    const { table, name, pages, rows } = detached;
    let labels = 0;
    for (let page = 0; table !== 'attempts' && page < pages; page += pagesAtOnce) {
      if (!(await turn.mayGoOn())) return false;
      const deleted = await store.forgetLabels(detached, page, pagesAtOnce);
      metrics.pastRowsDeleted.inc({ table: 'timer_labels' }, deleted);
      labels += deleted;
    }
    if (!(await turn.mayGoOn())) return false;
    if (await store.drop(detached)) {
      metrics.partitionsDropped.inc({ table });
      log.info({ partition: name, rows, labels }, 'a partition past its retention was dropped');
    }
    return true;
  }

  async function deleteRest(table: PartitionedTable, turn: Turn): Promise<boolean> {
    const retentionMs = retentionOf(table, retention);
    if (retentionMs === Infinity) return true;
    for (let round = 0; round < restRoundsMax; round++) {
      if (!(await turn.mayGoOn())) return false;
      const { rows, labels } = await store.deleteRest(table, retentionMs, restRowsAtOnce);
      metrics.pastRowsDeleted.inc({ table }, rows);
      metrics.pastRowsDeleted.inc({ table: 'timer_labels' }, labels);
      if (rows < restRowsAtOnce) break;
    }
    return true;
  }

  return {
    async run(turn) {
      if (!(await detachPast(turn))) return;
      for (const detached of await store.detached()) {
        if (!(await remove(detached, turn))) return;
      }
      for (const table of tables) {
        if (!(await deleteRest(table, turn))) return;
      }
    },
  };
}
