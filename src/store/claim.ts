import { numberArray } from './arrayLiteral.ts';
import { instantParameter } from './instantParameter.ts';
import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import type { ClaimedTimer, HttpMethod, TimerRequest } from '../core/timer.ts';
import type { RetryPolicy } from '../core/retryPolicy.ts';
import { storedDefect, withoutDefect } from '../core/storedDefect.ts';
import type { Database } from './database.ts';

/** Bodies up to this travel with the claim; larger ones are fetched at the start of the attempt. */
export const bodyInlineMax = 16 * 1024;

/** The most that one claimed timer can take in memory, for bounding a claim by bytes. */
export const claimedBytesMax = 48 * 1024;

/** A place in the index: just behind the timer `id` due at `nextAtMs`. */
export interface Floor {
  readonly nextAtMs: number;
  readonly id: number;
}

export interface Claimed {
  readonly timers: readonly ClaimedTimer[];
  /** The database's clock near the end of the statement; a lower bound of its clock at the reply. */
  readonly databaseNowMs: number;
}

// A statement may leave a process that was declared dead long before, and whose row is forgotten: it
// must not give timers to an owner whom nobody can take them from. Once a statement, not once a row.
export const ownerLives = (owner: '$2' | '$5') =>
  `EXISTS (SELECT 1 FROM belfry.processes p WHERE p.id = ${owner}::bigint AND NOT p.dead)`;

// What is as usual travels as null: most timers come over in four values. Instants come as whole
// milliseconds, which cost neither side a calendar.
const claimedColumns = [
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

/**
 * One row a claimed timer, and behind them, once they are written, one with the clock. `projectId`: what that
 * one has in the place of a timer's project.
 */
export const claimedAnswer = (projectId = 'NULL') => `
SELECT claimed.*, NULL::float8 FROM claimed
UNION ALL
SELECT NULL, ${projectId}, ${claimedColumns
  .slice(2)
  .map(() => 'NULL')
  .join(', ')},
  date_part('epoch', clock_timestamp()) * 1000`;

export const dueUntil = `statement_timestamp() + $3::float8 * interval '1 millisecond'`;

/** What an ordinary poll may take, and what it has to know of it. */
export const aheadDue = { columns: 'ctid', condition: 'parked_lane IS NULL AND owner IS NULL' };

export const aheadClaimed = `, claimed AS (
  UPDATE belfry.timers t SET owner = $5::bigint, claim = $6::bigint, start_marked = false
  WHERE t.ctid = ANY (ARRAY(SELECT ctid FROM due))
  RETURNING ${claimedColumns.join(', ')}
)`;

/** What a sweep may take, and what it has to know of it. */
export const sweptDue = {
  columns: `ctid, id, owner AS old_owner, claim AS old_claim, start_marked AS was_marked,
    next_at AS was_due_at, lost_in_row AS lost_before, attempts AS attempts_before`,
  condition: `parked_lane IS NULL
    AND (owner IS NULL
      OR owner = ANY (ARRAY(SELECT p.id FROM belfry.processes p WHERE p.dead))
      OR (owner = $5::bigint AND claim = ANY ($7::bigint[])))`,
};

export const sweptClaimed = `, judged AS MATERIALIZED (
  -- An attempt may have started if the owner lived when it was due, and (once a timer is under
  -- suspicion) if it was marked as starting.
  SELECT due.*, p.id IS NOT NULL AND due.was_due_at <= p.expires_at
    AND (due.lost_before = 0 OR due.was_marked) AS lost
  FROM due LEFT JOIN belfry.processes p ON p.id = due.old_owner AND p.dead
), claimed AS (
  UPDATE belfry.timers t SET owner = $5::bigint, claim = $6::bigint, start_marked = false,
    attempts = t.attempts + judged.lost::integer,
    lost_in_row = t.lost_in_row + judged.lost::integer
  FROM judged WHERE t.ctid = judged.ctid
  RETURNING ${claimedColumns.join(', ')}
), lost_attempts AS (
  -- Of those that were claimed only: one that changed between snapshot and lock is left.
  INSERT INTO belfry.attempts (timer_id, project_id, recorded_at, claim, number, error_code)
  SELECT claimed.id, claimed.project_id, statement_timestamp(), judged.old_claim,
    judged.attempts_before + 1, 'lost'
  FROM judged JOIN claimed ON claimed.id = judged.id WHERE judged.lost
)`;

/**
 * The ordinary poll. Index timers_next_at serves it with a condition on both ends:
 *   Index Cond: ((next_at >= …) AND (next_at <= …) AND (ROW(next_at, id) > ROW(…)))
 * The upper bound must be statement_timestamp(), which is stable: with clock_timestamp() it was a
 * filter over the whole index (115 ms instead of 4 ms a poll over 300,000 rows). The floor keeps it
 * from reading again through what is owned already and through dead entries that vacuum cannot
 * remove yet: with 10,000 owned an empty poll took 6.7 ms without it and 0.4 ms with it.
 *
 * The locked rows are then found by their place, not by id (8.0 against 9.7 µs of PostgreSQL's CPU a
 * timer). A row that somebody else changed between snapshot and lock is not found there: whoever
 * did wakes the scheduler after the commit, and the sweep comes by within about a second.
 */
export const claimAhead = {
  name: 'claim_ahead',
  text: `
WITH due AS MATERIALIZED (
  SELECT ${aheadDue.columns} FROM belfry.timers
  WHERE ${ownerLives('$5')} AND ${aheadDue.condition}
    AND next_at >= $1::timestamptz AND (next_at, id) > ($1::timestamptz, $2::bigint)
    AND next_at <= ${dueUntil}
  ORDER BY next_at, id LIMIT $4::integer
  FOR UPDATE SKIP LOCKED
)${aheadClaimed}${claimedAnswer()}`,
};

/**
 * The sweep: from the beginning of the index (in steps, with a floor of its own) for what the
 * ordinary poll has left behind: backlog, late commits, timers of dead owners, and timers that a
 * statement of ours with a lost reply may have claimed ($7). A timer of a dead owner whose attempt
 * may have started gets that attempt recorded as lost.
 *
 * "Dead" is a mark that only ever gets set, so the verdict holds even for rows that change while
 * the statement waits; "not among the living" would not: a process that registered after this
 * statement's snapshot would be robbed.
 */
export const sweep = {
  name: 'sweep',
  text: `
WITH due AS MATERIALIZED (
  SELECT ${sweptDue.columns} FROM belfry.timers
  WHERE ${ownerLives('$5')} AND ${sweptDue.condition}
    AND next_at >= $1::timestamptz AND (next_at, id) > ($1::timestamptz, $2::bigint)
    AND next_at <= ${dueUntil}
  ORDER BY next_at, id LIMIT $4::integer
  FOR UPDATE SKIP LOCKED
)${sweptClaimed}${claimedAnswer()}`,
};

// Out of a lane, those due first before others, whatever else waits in it. By timers_parked. What has
// waited there has been judged already: it is not asked for a token or a permit again.
const pullStatement = (name: string, lane: string) => ({
  name,
  text: `
WITH lane AS MATERIALIZED (${lane}
), due AS MATERIALIZED (
  SELECT ctid FROM belfry.timers
  WHERE ${ownerLives('$2')} AND parked_lane = (SELECT id FROM lane) AND next_at <= statement_timestamp()
  ORDER BY next_at LIMIT $4::integer
  FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE belfry.timers t SET parked_lane = NULL, owner = $2::bigint, claim = $3::bigint
  WHERE t.ctid = ANY (ARRAY(SELECT ctid FROM due))
  RETURNING ${claimedColumns.join(', ')}
)${claimedAnswer()}`,
});

const pull = pullStatement(
  'pull_parked_timers',
  `
  SELECT id FROM belfry.lanes
  WHERE id = $1::bigint AND state = 'limited' AND closed_until <= statement_timestamp()`,
);

// The first due of each of some closed lanes, for one process of all that ask at once: no other for so long.
const probe = {
  name: 'pull_probes',
  text: `
WITH due_lane AS MATERIALIZED (
  SELECT id FROM belfry.lanes l
  WHERE ${ownerLives('$2')} AND id = ANY ($1::bigint[]) AND state = 'limited'
    AND closed_until > statement_timestamp() AND next_release_at <= statement_timestamp()
    AND EXISTS (SELECT 1 FROM belfry.timers t
      WHERE t.parked_lane = l.id AND t.next_at <= statement_timestamp())
  ORDER BY id FOR UPDATE SKIP LOCKED
), probed AS (
  UPDATE belfry.lanes SET next_release_at = statement_timestamp() + $4::float8 * interval '1 millisecond'
  WHERE id IN (SELECT id FROM due_lane)
), due AS MATERIALIZED (
  SELECT first.ctid FROM due_lane, LATERAL (
    SELECT ctid FROM belfry.timers t
    WHERE t.parked_lane = due_lane.id AND t.next_at <= statement_timestamp()
    ORDER BY t.next_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS first
), claimed AS (
  UPDATE belfry.timers t SET parked_lane = NULL, owner = $2::bigint, claim = $3::bigint
  WHERE t.ctid = ANY (ARRAY(SELECT ctid FROM due))
  RETURNING ${claimedColumns.join(', ')}
)${claimedAnswer()}`,
};

const readClock = {
  name: 'read_clock',
  text: `SELECT date_part('epoch', clock_timestamp()) * 1000`,
};

const releaseTimers = {
  name: 'release_timers',
  text: `
UPDATE belfry.timers t SET owner = NULL, claim = NULL
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS i(id, owner, claim)
WHERE t.id = i.id AND t.owner = i.owner AND t.claim = i.claim
RETURNING t.id`,
};

const markStart = {
  name: 'mark_start',
  text: `
UPDATE belfry.timers SET start_marked = true
WHERE id = $1::bigint AND owner = $2::bigint AND claim = $3::bigint RETURNING id`,
};

const fetchBody = {
  name: 'fetch_body',
  text: `
SELECT body FROM belfry.timers WHERE id = $1::bigint AND owner = $2::bigint AND claim = $3::bigint`,
};

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
  databaseNowMs: null,
];

/** The last one of an answer, with the clock. */
type ClockRow = readonly [
  id: null,
  projectId: number | null,
  ...between: readonly null[],
  databaseNowMs: number,
];

export type ClaimedRow = TimerRow | ClockRow;

export interface ClaimOptions {
  readonly floor: Floor;
  readonly lookAheadMs: number;
  readonly rowsMax: number;
  readonly owner: number;
  /** Random for every claim: fences what is written later about these timers. */
  readonly claim: number;
}

export interface PullOptions extends Pick<ClaimOptions, 'rowsMax' | 'owner' | 'claim'> {
  readonly lane: number;
}

/** What a claimed timer's fence consists of. */
export type Fence = Pick<ClaimedTimer, 'id' | 'owner' | 'claim'>;

/** The statements by which a process takes, gives back and prepares timers. */
export function createClaimStore(database: Database) {
  const fenceOf = (timer: Fence) => [timer.id, timer.owner, timer.claim];
  return {
    async claimAhead(options: ClaimOptions): Promise<Claimed> {
      return claimedFrom(await database.query<ClaimedRow>(claimAhead, valuesOf(options)), options);
    },
    async sweep(options: ClaimOptions & { lostClaims: readonly number[] }): Promise<Claimed> {
      const values = [...valuesOf(options), options.lostClaims];
      return claimedFrom(await database.query<ClaimedRow>(sweep, values), options);
    },
    /** Claims due timers that wait in a lane from which something may leave. */
    async pull(options: PullOptions): Promise<Claimed> {
      const { lane, owner, claim, rowsMax } = options;
      const rows = await database.query<ClaimedRow>(pull, [lane, owner, claim, rowsMax]);
      return claimedFrom(rows, options);
    },
    /**
     * Claims the first due timer of each of these lanes, which are closed, to see whether the receiver answers;
     * none of a lane where another process has done so, until `againInMs` after it.
     */
    async probe(
      options: Omit<PullOptions, 'rowsMax' | 'lane'> & {
        readonly lanes: readonly number[];
        readonly againInMs: number;
      },
    ): Promise<Claimed> {
      const { lanes, owner, claim, againInMs } = options;
      const values = [numberArray(lanes), owner, claim, againInMs];
      return claimedFrom(await database.query<ClaimedRow>(probe, values), options);
    },
    /** The database's clock, in milliseconds of the Unix epoch with fractions. */
    async readClock(): Promise<number> {
      const [row] = await database.query<[number]>(readClock);
      return row?.[0] ?? -Infinity;
    },
    /** Gives timers back unstarted; resolves with those that were still ours. */
    async release(timers: readonly Fence[]): Promise<TimerId[]> {
      const sorted = timers.toSorted((a, b) => a.id - b.id);
      const rows = await database.query<[number]>(releaseTimers, [
        sorted.map((timer) => timer.id),
        sorted.map((timer) => timer.owner),
        sorted.map((timer) => timer.claim),
      ]);
      return rows.map(([id]) => timerIdFromDatabase(id));
    },
    /** Makes it durable that an attempt is about to start; false when the timer is not ours. */
    async markStart(timer: Fence): Promise<boolean> {
      return (await database.query<[number]>(markStart, fenceOf(timer))).length === 1;
    },
    /** The body of a claimed timer; undefined when the timer is not ours any more. */
    async fetchBody(timer: Fence): Promise<Buffer | undefined> {
      const rows = await database.query<[Buffer]>(fetchBody, fenceOf(timer));
      return rows[0]?.[0];
    },
  };
}

export type ClaimStore = ReturnType<typeof createClaimStore>;

/** An estimate of what a claimed timer takes in memory. */
export function claimedBytes(request: TimerRequest): number {
  const headers = request.headers === null ? 0 : JSON.stringify(request.headers).length;
  return 512 + request.url.length + headers + (request.body?.length ?? 0);
}

export function valuesOf(options: ClaimOptions): unknown[] {
  const { floor, lookAheadMs, rowsMax, owner, claim } = options;
  return [instantParameter(floor.nextAtMs), floor.id, lookAheadMs, rowsMax, owner, claim];
}

export function claimedFrom(
  rows: readonly ClaimedRow[],
  fence: { readonly owner: number; readonly claim: number },
): Claimed {
  const timers: ClaimedTimer[] = [];
  let databaseNowMs = -Infinity;
  for (const row of rows) {
    if (row[0] === null) {
      databaseNowMs = row.at(-1) ?? databaseNowMs;
      continue;
    }
    timers.push(claimedTimer(row, fence));
  }
  return { timers, databaseNowMs };
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
