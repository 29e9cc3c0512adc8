import type { Json } from '../core/annotations.ts';
import type { FailureCode } from '../core/attempt.ts';
import type { ListPosition } from '../core/cursor.ts';
import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import type { RetryPolicy } from '../core/retryPolicy.ts';
import type { HttpMethod, TimerRequest, TimerStatus, TimerSummary } from '../core/timer.ts';
import { liveStatuses, type TimerFilter } from '../core/timerFilter.ts';
import { createdBounds } from './createdBounds.ts';
import { shownParts } from '../core/storedDefect.ts';
import type { Database } from './database.ts';
import { instantParameter } from './instantParameter.ts';
import { listStatement, type Columns, type Tables, type Walk } from './listStatements.ts';

/** Which timers a walk is about, and how far it has come. */
export interface ListStep {
  readonly projectId: number;
  readonly filter: TimerFilter;
  readonly position: ListPosition;
  /** Of those that match. */
  readonly rowsMax: number;
}

/** What one step of a walk found. */
export interface Found<Entry> {
  readonly entries: readonly Entry[];
  /** Timers looked through. */
  readonly examined: number;
  /** Where to go on; null at the end. */
  readonly next: ListPosition | null;
}

/** What tells the status of a timer: as in readTimers.ts, StoredTimer. */
export interface StoredStatus {
  readonly timer: { readonly id: TimerId; readonly status: TimerStatus };
  readonly owner: number | null;
  readonly ownerLapsedMs: number | null;
  readonly dueInMs: number;
}

export interface StoredSummary extends StoredStatus {
  readonly timer: TimerSummary;
}

const databaseNow = {
  name: 'list_now',
  text: `SELECT ceil(date_part('epoch', clock_timestamp()) * 1000)::bigint`,
};

/**
 * Lists timers in steps that cost the same whatever they find. Live timers that are being delivered
 * are stored as pending or retrying: `filter.statuses` finds all that could have a status, and who
 * knows of attempts under way (app.ts) drops the others.
 */
export function createTimerLister(database: Database) {
  return {
    /** Where a walk begins. A range of creation is turned into one of ids, by some 25 probes. */
    async start(
      order: ListPosition['order'],
      projectId: number,
      filter: TimerFilter,
    ): Promise<ListPosition> {
      if (order === 'soonest') return { order, nextAtMs: filter.dueAfterMs ?? 0, id: 0 };
      const { createdAfterMs: afterMs, createdBeforeMs: beforeMs } = filter;
      return { order, ...(await createdBounds(database, { projectId, afterMs, beforeMs })) };
    },

    /** The database's clock, in milliseconds of the Unix epoch, rounded up. */
    async nowMs(): Promise<number> {
      const [row] = await database.query<[number]>(databaseNow, []);
      return row?.[0] ?? Infinity;
    },

    async summaries(step: ListStep): Promise<Found<StoredSummary>> {
      const rows = await run<SummaryRow>(step, 'summary');
      return foundFrom(step, rows, (row) => summaryOf(step.projectId, row));
    },

    /** Only what tells the timers and their status. */
    async identities(step: ListStep): Promise<Found<StoredStatus>> {
      const rows = await run<IdentityRow>(step, 'identity');
      return foundFrom(step, rows, statusOf);
    },
  };

  function run<Row extends IdentityRow | SummaryRow>(
    { projectId, filter, position, rowsMax }: ListStep,
    columns: Columns,
  ): Promise<Row[]> {
    const statement = listStatement(walkOf(filter, position), tablesOf(filter, position), columns);
    const values = [projectId, rowsMax, ...filterValues(filter), ...placeOf(filter, position)];
    return database.inProject(projectId).query<Row>(statement, values);
  }
}

export type TimerLister = ReturnType<typeof createTimerLister>;

type IdentityRow = readonly [
  at: number,
  place: number,
  isEnd: boolean,
  matched: boolean,
  id: number,
  status: TimerStatus,
  owner: number | null,
  ownerLapsedMs: number | null,
  dueInMs: number,
  nextAtMs: number | null,
];

type SummaryRow = readonly [
  ...identity: IdentityRow,
  version: number,
  key: string | null,
  url: string,
  method: HttpMethod,
  headers: TimerRequest['headers'],
  bodyBytes: number | null,
  appendId: boolean,
  timeoutMs: number | null,
  retry: RetryPolicy | null,
  labels: readonly string[] | null,
  metadata: Json,
  createdAtMs: number,
  dueAtMs: number,
  expiresAtMs: number | null,
  finishedAtMs: number | null,
  failureCode: FailureCode | null,
  attemptCount: number,
  timeLeftMs: number,
];

function walkOf({ key, label }: TimerFilter, { order }: ListPosition): Walk {
  // A key has one live timer at the most: there is no order to keep.
  if (key !== null) return 'key';
  if (order === 'soonest') return 'soonest';
  return label === null ? 'newest' : 'label';
}

function placeOf({ key }: TimerFilter, position: ListPosition): unknown[] {
  if (position.order === 'newest') return [position.beforeId, position.fromId];
  return key === null ? [textOf(position.nextAtMs), position.id] : [Number.MAX_SAFE_INTEGER, 0];
}

function tablesOf({ statuses }: TimerFilter, { order }: ListPosition): Tables {
  if (order === 'soonest') return { hot: true, history: null };
  if (statuses === null) return { hot: true, history: 'all' };
  const isFailed = statuses.includes('failed');
  const isDone = statuses.includes('succeeded') || statuses.includes('cancelled');
  const hot = liveStatuses.some((status) => statuses.includes(status));
  if (isFailed && isDone) return { hot, history: 'all' };
  if (isDone) return { hot, history: 'done' };
  return { hot, history: isFailed ? 'failed' : null };
}

function filterValues(filter: TimerFilter): unknown[] {
  const { statuses, host } = filter;
  return [
    statuses,
    statuses?.includes('delivering') ?? false,
    filter.label,
    host?.host ?? null,
    host?.pattern ?? null,
    filter.key,
    filter.urlPrefix,
    textOf(filter.dueAfterMs),
    textOf(filter.dueBeforeMs),
    textOf(filter.createdAfterMs),
    textOf(filter.createdBeforeMs),
  ];
}

function textOf(ms: number | null): string | null {
  return ms === null ? null : instantParameter(ms);
}

function foundFrom<Row extends IdentityRow | SummaryRow, Entry>(
  { position }: ListStep,
  rows: readonly Row[],
  entryOf: (row: Row) => Entry,
): Found<Entry> {
  const last = rows.at(-1);
  if (last === undefined) return { entries: [], examined: 0, next: null };
  return {
    entries: rows.filter(([, , , matched]) => matched).map(entryOf),
    examined: last[1],
    next: last[2] ? null : positionAt(position, last),
  };
}

/** The place just behind a row. */
function positionAt(position: ListPosition, row: IdentityRow | SummaryRow): ListPosition {
  if (position.order === 'newest') return { ...position, beforeId: row[0] };
  return { order: 'soonest', nextAtMs: row[9] ?? position.nextAtMs, id: row[0] };
}

function statusOf(row: IdentityRow | SummaryRow): StoredStatus {
  const [, , , , id, status, owner, ownerLapsedMs, dueInMs] = row;
  return { timer: { id: timerIdFromDatabase(id), status }, owner, ownerLapsedMs, dueInMs };
}

function summaryOf(projectId: number, row: SummaryRow): StoredSummary {
  const stored = statusOf(row);
  const parts = { method: row[13], headers: row[14], timeoutMs: row[17], retry: row[18] };
  const { method, headers, timeoutMs, retry, ...defect } = shownParts(parts);
  return {
    ...stored,
    timer: {
      ...stored.timer,
      projectId,
      version: row[10],
      key: row[11],
      request: {
        url: row[12],
        method,
        headers,
        appendId: row[16],
        timeoutMs,
      },
      bodyBytes: row[15],
      retry,
      labels: row[19],
      metadata: row[20],
      createdAtMs: row[21],
      dueAtMs: row[22],
      nextAtMs: row[9],
      expiresAtMs: row[23],
      finishedAtMs: row[24],
      failureCode: row[25],
      ...defect,
      attemptCount: row[26],
      timeLeftMs: row[27],
    },
  };
}
