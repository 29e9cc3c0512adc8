import { assertNever } from './errors.ts';

/** Instants from `fromMs` to before `toMs`; infinite where there is no bound. */
export interface PartitionRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** How long what has ended is kept. Milliseconds; Infinity for ever. */
export interface Retention {
  /** Succeeded and cancelled timers. */
  readonly historyMs: number;
  /** Failed timers. */
  readonly failedMs: number;
}

/** The tables that are partitioned by time. */
export type PartitionedTable = 'history_done' | 'history_failed' | 'attempts';

export const dayMs = 86_400_000;

/** Days after today that are prepared at the least. */
const daysAhead = 7;

/**
 * Partitions into which a retention is cut: a look-up by id visits them all (0.3 ms over 30, 4.5 ms
 * over 400), and what is past its retention stays until its whole partition is.
 */
const partitionsOfRetention = 30;
const daysWhenForEver = 90;

/** Attempts are kept as long as the timers that are kept longest. */
export function retentionOf(table: PartitionedTable, retention: Retention): number {
  switch (table) {
    case 'history_done':
      return retention.historyMs;
    case 'history_failed':
      return retention.failedMs;
    case 'attempts':
      return Math.max(retention.historyMs, retention.failedMs);
    default:
      return assertNever(table);
  }
}

/** Whole days that a new partition spans. */
export function partitionDays(retentionMs: number): number {
  if (retentionMs === Infinity) return daysWhenForEver;
  return Math.max(1, Math.ceil(retentionMs / (partitionsOfRetention * dayMs)));
}

/**
 * The partitions that are missing, in their order, so that every day from today (UTC) to seven days
 * ahead is in one. A new one starts where the one before ends and is cut short where another
 * begins, so the settings may change at any time: none overlaps, and no day is left out. Ranges in
 * `existing` count as the whole days that they touch.
 */
export function partitionsToCreate(options: {
  nowMs: number;
  retentionMs: number;
  existing: readonly PartitionRange[];
}): PartitionRange[] {
  const existing = options.existing.map(({ fromMs, toMs }) => ({
    fromMs: Math.floor(fromMs / dayMs) * dayMs,
    toMs: Math.ceil(toMs / dayMs) * dayMs,
  }));
  const widthMs = partitionDays(options.retentionMs) * dayMs;
  const todayMs = Math.floor(options.nowMs / dayMs) * dayMs;
  const created: PartitionRange[] = [];
  let fromMs = todayMs;
  while (fromMs < todayMs + (daysAhead + 1) * dayMs) {
    const startMs = fromMs;
    const covering = existing.find((range) => range.fromMs <= startMs && startMs < range.toMs);
    if (covering === undefined) {
      const laterMs = existing.map((range) => range.fromMs).filter((ms) => ms > startMs);
      const toMs = Math.min(startMs + widthMs, ...laterMs);
      created.push({ fromMs, toMs });
      fromMs = toMs;
    } else {
      fromMs = covering.toMs;
    }
  }
  return created;
}

/** Whether everything in the range is older than the retention. */
export function isPast(
  range: PartitionRange,
  { nowMs, retentionMs }: { nowMs: number; retentionMs: number },
): boolean {
  return range.toMs <= nowMs - retentionMs;
}
