import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import { numberArray } from './arrayLiteral.ts';
import {
  claimedAnswer,
  claimedColumns,
  claimedFrom,
  claimedOrParkedColumns,
  type Claimed,
  type ClaimedRow,
  type Floor,
} from './claimedRows.ts';
import type { Database } from './database.ts';
import { instantParameter } from './instantParameter.ts';

// A statement may leave a process that was declared dead long before, and whose row is forgotten: it
// must not give timers to an owner whom nobody can take them from. Once a statement, not once a row.
export const ownerLives = (owner: '$2' | '$5') =>
  `EXISTS (SELECT 1 FROM belfry.processes p WHERE p.id = ${owner}::bigint AND NOT p.dead)`;

/**
 * How a claim parks what would only be claimed to be parked: it costs one write of the row in place of two,
 * and the process nothing. Without it nothing is asked.
 */
export interface ParkingClause {
  /** Before the other tables. */
  readonly lanes: string;
  /** The lane of a timer that is due; null: it is claimed. */
  readonly column: string;
}

/**
 * `lanes`: a parameter with the ids of some. One that somebody else has locked, who parks or opens it, is
 * left out: its timers are claimed. Whoever opens it waits for this statement, as for all who park.
 */
export function parkingAt(lanes: string): ParkingClause {
  return {
    lanes: `lane AS MATERIALIZED (
  SELECT id, project_id, target FROM belfry.lanes
  WHERE id = ANY (${lanes}::bigint[]) AND state = 'limited' FOR UPDATE SKIP LOCKED
), `,
    column: `, (SELECT lane.id FROM lane WHERE lane.project_id = timers.project_id
      AND starts_with(timers.url, lane.target || '/')
      AND (timers.expires_at IS NULL OR timers.expires_at > statement_timestamp())) AS lane`,
  };
}

/** See openEmptied in destinationLanes.ts. */
const laneWritten = `, parking AS (
  UPDATE belfry.lanes SET parkings = parkings + 1
  WHERE id IN (SELECT due.lane FROM due WHERE due.lane IS NOT NULL)
)`;

export const dueUntil = `statement_timestamp() + $3::float8 * interval '1 millisecond'`;

/** What an ordinary poll may take, and what it has to know of it. */
export const aheadDue = { columns: 'ctid', condition: 'parked_lane IS NULL AND owner IS NULL' };

const written = (parking: ParkingClause | undefined, from: string) =>
  parking === undefined
    ? 'owner = $5::bigint, claim = $6::bigint, start_marked = false'
    : `owner = CASE WHEN ${from}.lane IS NULL THEN $5::bigint END,
    claim = CASE WHEN ${from}.lane IS NULL THEN $6::bigint END,
    start_marked = false, parked_lane = ${from}.lane`;

const returned = (parking: ParkingClause | undefined) =>
  parking === undefined
    ? claimedColumns.join(', ')
    : `${claimedOrParkedColumns.join(', ')}, t.parked_lane::float8`;

export const aheadClaimed = (parking?: ParkingClause) => `, claimed AS (
  UPDATE belfry.timers t SET ${written(parking, 'due')}
  ${parking === undefined ? 'WHERE t.ctid = ANY (ARRAY(SELECT ctid FROM due))' : 'FROM due WHERE t.ctid = due.ctid'}
  RETURNING ${returned(parking)}
)${parking === undefined ? '' : laneWritten}`;

/** What a sweep may take, and what it has to know of it. */
export const sweptDue = {
  columns: `ctid, id, owner AS old_owner, claim AS old_claim, start_marked AS was_marked,
    next_at AS was_due_at, lost_in_row AS lost_before, attempts AS attempts_before`,
  condition: `parked_lane IS NULL
    AND (owner IS NULL
      OR owner = ANY (ARRAY(SELECT p.id FROM belfry.processes p WHERE p.dead))
      OR (owner = $5::bigint AND claim = ANY ($7::bigint[])))`,
};

export const sweptClaimed = (parking?: ParkingClause) => `, judged AS MATERIALIZED (
  -- An attempt may have started if the owner lived when it was due, and (once a timer is under
  -- suspicion) if it was marked as starting.
  SELECT due.*, p.id IS NOT NULL AND due.was_due_at <= p.expires_at
    AND (due.lost_before = 0 OR due.was_marked) AS lost
  FROM due LEFT JOIN belfry.processes p ON p.id = due.old_owner AND p.dead
), claimed AS (
  UPDATE belfry.timers t SET ${written(parking, 'judged')},
    attempts = t.attempts + judged.lost::integer,
    lost_in_row = t.lost_in_row + judged.lost::integer
  FROM judged WHERE t.ctid = judged.ctid
  RETURNING ${returned(parking)}
), lost_attempts AS (
  -- Of those that were claimed only: one that changed between snapshot and lock is left.
  INSERT INTO belfry.attempts (timer_id, project_id, recorded_at, claim, number, error_code)
  SELECT claimed.id, claimed.project_id, statement_timestamp(), judged.old_claim,
    judged.attempts_before + 1, 'lost'
  FROM judged JOIN claimed ON claimed.id = judged.id WHERE judged.lost
)${parking === undefined ? '' : laneWritten}`;

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
const claimAheadBy = (name: string, parking?: ParkingClause) => ({
  name,
  text: `
WITH ${parking?.lanes ?? ''}due AS MATERIALIZED (
  SELECT ${aheadDue.columns}${parking?.column ?? ''} FROM belfry.timers
  WHERE ${ownerLives('$5')} AND ${aheadDue.condition}
    AND next_at >= $1::timestamptz AND (next_at, id) > ($1::timestamptz, $2::bigint)
    AND next_at <= ${dueUntil}
  ORDER BY next_at, id LIMIT $4::integer
  FOR UPDATE SKIP LOCKED
)${aheadClaimed(parking)}${claimedAnswer(parking !== undefined)}`,
});
export const claimAhead = claimAheadBy('claim_ahead');
const claimOrParkAhead = claimAheadBy('claim_or_park_ahead', parkingAt('$7'));

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
const sweepBy = (name: string, parking?: ParkingClause) => ({
  name,
  text: `
WITH ${parking?.lanes ?? ''}due AS MATERIALIZED (
  SELECT ${sweptDue.columns}${parking?.column ?? ''} FROM belfry.timers
  WHERE ${ownerLives('$5')} AND ${sweptDue.condition}
    AND next_at >= $1::timestamptz AND (next_at, id) > ($1::timestamptz, $2::bigint)
    AND next_at <= ${dueUntil}
  ORDER BY next_at, id LIMIT $4::integer
  FOR UPDATE SKIP LOCKED
)${sweptClaimed(parking)}${claimedAnswer(parking !== undefined)}`,
});
export const sweep = sweepBy('sweep');
const sweepOrPark = sweepBy('sweep_or_park', parkingAt('$8'));

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
)${claimedAnswer(false)}`,
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
)${claimedAnswer(false)}`,
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
WHERE t.id = ANY ($1::bigint[])
  AND t.id = i.id AND t.owner = i.owner AND t.claim = i.claim
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

export interface ClaimOptions {
  readonly floor: Floor;
  readonly lookAheadMs: number;
  readonly rowsMax: number;
  readonly owner: number;
  /** Random for every claim: fences what is written later about these timers. */
  readonly claim: number;
  /** Of destinations: what would wait in one of them is parked there and not claimed. A few at most. */
  readonly lanes: readonly number[];
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
      const { lanes } = options;
      const parks = lanes.length > 0;
      const values = [...valuesOf(options), ...(parks ? [lanes] : [])];
      const statement = parks ? claimOrParkAhead : claimAhead;
      return claimedFrom(await database.query<ClaimedRow>(statement, values), options);
    },
    async sweep(options: ClaimOptions & { lostClaims: readonly number[] }): Promise<Claimed> {
      const { lanes, lostClaims } = options;
      const parks = lanes.length > 0;
      const values = [...valuesOf(options), lostClaims, ...(parks ? [lanes] : [])];
      const statement = parks ? sweepOrPark : sweep;
      return claimedFrom(await database.query<ClaimedRow>(statement, values), options);
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

export function valuesOf(options: ClaimOptions): unknown[] {
  const { floor, lookAheadMs, rowsMax, owner, claim } = options;
  return [instantParameter(floor.nextAtMs), floor.id, lookAheadMs, rowsMax, owner, claim];
}
