import { timerIdFromDatabase } from '../core/ids.ts';
import type { RetryPolicy } from '../core/retryPolicy.ts';
import { storedDefect, withoutDefect } from '../core/storedDefect.ts';
import type { ClaimedTimer, HttpMethod, TimerRequest } from '../core/timer.ts';

/** Bodies up to this travel with the claim; larger ones are fetched at the start of the attempt. */
export const bodyInlineMax = 16 * 1024;

/** The most that one claimed timer can take in memory, for bounding a claim by bytes. */
export const claimedBytesMax = 48 * 1024;

/** A place in the index: just behind the timer `id` due at `nextAtMs`. */
export interface Floor {
  readonly nextAtMs: number;
  readonly id: number;
}

/** A timer that was parked in the lane of its destination, and not claimed. */
export interface ParkedTimer extends Floor {
  readonly projectId: number;
  readonly lane: number;
}

export interface Claimed {
  readonly timers: readonly ClaimedTimer[];
  readonly parked: readonly ParkedTimer[];
  /** The database's clock near the end of the statement; a lower bound of its clock at the reply. */
  readonly databaseNowMs: number;
}

// What is as usual travels as null: most timers come over in four values. Instants come as whole
// milliseconds, which cost neither side a calendar.
export const claimedColumns = [
  't.id',
  't.project_id',
  `CASE WHEN isfinite(t.next_at) THEN round(date_part('epoch', t.next_at) * 1000)::bigint END`,
  't.url',
  "CASE WHEN t.due_at <> t.next_at AND isfinite(t.due_at) THEN round(date_part('epoch', t.due_at) * 1000)::bigint END",
  `CASE WHEN isfinite(t.expires_at) THEN round(date_part('epoch', t.expires_at) * 1000)::bigint END`,
  'nullif(t.attempts, 0)',
  'nullif(t.failures, 0)',
  'nullif(t.lost_in_row, 0)',
  'nullif(t.append_id, true)',
  't.timeout_ms',
  "nullif(t.method, 'POST')",
  't.headers',
  `CASE WHEN octet_length(t.body) <= ${bodyInlineMax} THEN t.body END`,
  `nullif(octet_length(t.body) > ${bodyInlineMax}, false)`,
  't.retry',
];

/** Of what is parked no more than where it was found, and its lane. */
export const claimedOrParkedColumns = claimedColumns.map((column, index) =>
  index < 3 ? column : `CASE WHEN t.parked_lane IS NULL THEN ${column} END`,
);

/**
 * One row a claimed or parked timer, and behind them, once they are written, one with the clock. `projectId`:
 * what that one has in the place of a timer's project.
 */
export const claimedAnswer = (parks: boolean, projectId = 'NULL') => `
SELECT claimed.*${parks ? '' : ', NULL::float8'} FROM claimed
UNION ALL
SELECT NULL, ${projectId}, ${claimedColumns
  .slice(2)
  .map(() => 'NULL')
  .join(', ')},
  date_part('epoch', clock_timestamp()) * 1000`;

type TimerRow = readonly [
  id: number,
  projectId: number,
  nextAtMs: number | null,
  url: string,
  dueAtMs: number | null,
  expiresAtMs: number | null,
  attempts: number | null,
  failures: number | null,
  lostInRow: number | null,
  appendId: false | null,
  timeoutMs: number | null,
  method: HttpMethod | null,
  headers: TimerRequest['headers'],
  body: Buffer | null,
  bodyDeferred: true | null,
  retry: RetryPolicy | null,
  lane: null,
];

/** Of one that is parked. */
type ParkedRow = readonly [
  id: number,
  projectId: number,
  nextAtMs: number | null,
  url: null,
  ...between: readonly null[],
  lane: number,
];

/** The last one of an answer, with the clock. */
type ClockRow = readonly [
  id: null,
  projectId: number | null,
  ...between: readonly null[],
  databaseNowMs: number,
];

export type ClaimedRow = TimerRow | ParkedRow | ClockRow;

/** Leaves no rows behind, for the reason that `takeRows` has: claims are the largest answers there are. */
export function claimedFrom(
  rows: ClaimedRow[],
  fence: { readonly owner: number; readonly claim: number },
): Claimed {
  const timers: ClaimedTimer[] = [];
  const parked: ParkedTimer[] = [];
  let databaseNowMs = -Infinity;
  for (const row of rows) {
    if (row[0] === null) databaseNowMs = row.at(-1) ?? databaseNowMs;
    else if (row[3] === null) parked.push(parkedTimer(row));
    else timers.push(claimedTimer(row, fence));
  }
  rows.length = 0;
  return { timers, parked, databaseNowMs };
}

function parkedTimer(row: ParkedRow): ParkedTimer {
  return { id: row[0], projectId: row[1], nextAtMs: row[2] ?? 0, lane: row.at(-1) ?? 0 };
}

/** One that is not as the API writes it does not spoil the others: it is told apart, without its defect. */
function claimedTimer(
  row: TimerRow,
  { owner, claim }: { readonly owner: number; readonly claim: number },
): ClaimedTimer {
  const parts = {
    nextAtMs: row[2],
    timeoutMs: row[10],
    method: row[11] ?? 'POST',
    headers: row[12],
    retry: row[15],
  };
  const defect = storedDefect(parts);
  const { timeoutMs, method, headers, retry } = defect === undefined ? parts : withoutDefect;
  const nextAtMs = row[2] ?? 0;
  const request = {
    appendId: row[9] ?? true,
    timeoutMs,
    url: row[3],
    method,
    headers,
    body: row[13],
  };
  const timer = {
    id: timerIdFromDatabase(row[0]),
    projectId: row[1],
    owner,
    claim,
    nextAtMs,
    dueAtMs: row[4] ?? nextAtMs,
    expiresAtMs: row[5],
    attempts: row[6] ?? 0,
    failures: row[7] ?? 0,
    lostInRow: row[8] ?? 0,
    request,
    bodyDeferred: row[14] ?? false,
    retry,
    bytes: claimedBytes(request),
  };
  return defect === undefined ? timer : { ...timer, defect };
}

/** An estimate of what a claimed timer takes in memory. */
export function claimedBytes(request: TimerRequest): number {
  const headers = request.headers === null ? 0 : JSON.stringify(request.headers).length;
  return 512 + request.url.length + headers + (request.body?.length ?? 0);
}
