import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import { numberArray } from './arrayLiteral.ts';
import type { Fence } from './claim.ts';
import type { Database } from './database.ts';

/** A lane that has something to do. */
export interface LaneAtWork {
  readonly id: number;
  readonly projectId: number;
  readonly state: 'closed' | 'draining';
}

export interface Released {
  readonly count: number;
  /** The nearest instant ahead at which one of them is due; null when they are due already. */
  readonly nextAtMs: number | null;
}

// By lanes_at_work: nothing to read where nothing is paused.
const lanesAtWork = {
  name: 'lanes_at_work',
  text: `
SELECT id, project_id, state FROM belfry.lanes WHERE state <> 'open' AND kind = 'project'`,
};

/** Shared by all who park; whoever changes the state waits for them, and they see what it became. */
const lockedLane = (state: 'closed' | 'draining') =>
  `lane AS MATERIALIZED (
  SELECT id, project_id FROM belfry.lanes WHERE id = $1::bigint AND state = '${state}' FOR SHARE
)`;

// What a process has claimed, under its fence: by timers_pkey.
const parkClaimed = {
  name: 'park_claimed_timers',
  text: `
WITH lane AS MATERIALIZED (
  SELECT id FROM belfry.lanes WHERE id = ANY ($4::bigint[]) AND state = 'closed'
  ORDER BY id FOR SHARE
)
UPDATE belfry.timers t SET parked_lane = i.lane, owner = NULL, claim = NULL, start_marked = false
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS i(id, owner, claim, lane)
WHERE t.id = ANY ($1::bigint[])
  AND t.id = i.id AND t.owner = i.owner AND t.claim = i.claim AND i.lane IN (SELECT id FROM lane)
RETURNING t.id`,
};

// What nobody has claimed yet, so that no claim reads through it: by timers_project_next_at. What has
// expired is left to be ended.
const parkNear = {
  name: 'park_near_timers',
  text: `
WITH ${lockedLane('closed')}, near AS MATERIALIZED (
  SELECT ctid FROM belfry.timers
  WHERE project_id = (SELECT project_id FROM lane) AND parked_lane IS NULL AND owner IS NULL
    AND next_at <= statement_timestamp() + $2::float8 * interval '1 millisecond'
    AND (expires_at IS NULL OR expires_at > statement_timestamp())
  ORDER BY next_at, id LIMIT $3::integer FOR UPDATE SKIP LOCKED
), parked AS (
  UPDATE belfry.timers SET parked_lane = $1::bigint
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM near)) RETURNING 1
)
SELECT count(*) FROM parked`,
};

// The allowance is taken in the statement that uses it, by whichever process comes first: so it is one
// for all, and none is lost with a process. By timers_parked.
const release = {
  name: 'release_parked_timers',
  text: `
WITH lane AS MATERIALIZED (
  UPDATE belfry.lanes SET next_release_at = clock_timestamp() + $2::float8 * interval '1 millisecond'
  WHERE id = $1::bigint AND state = 'draining' AND next_release_at <= clock_timestamp()
  RETURNING id
), next AS MATERIALIZED (
  SELECT ctid FROM belfry.timers WHERE parked_lane = (SELECT id FROM lane)
  ORDER BY next_at LIMIT $3::integer FOR UPDATE SKIP LOCKED
), released AS (
  UPDATE belfry.timers SET parked_lane = NULL
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM next)) RETURNING next_at
)
SELECT count(*), round(date_part('epoch', min(next_at) FILTER (WHERE next_at > clock_timestamp())) * 1000)::bigint
FROM released HAVING EXISTS (SELECT 1 FROM lane)`,
};

// By timers_parked. Nobody parks in it any more: they needed it closed.
const openDrained = {
  name: 'open_drained_lane',
  text: `
UPDATE belfry.lanes SET state = 'open', changed_at = clock_timestamp()
WHERE id = $1::bigint AND state = 'draining'
  AND NOT EXISTS (SELECT 1 FROM belfry.timers WHERE parked_lane = $1::bigint)
RETURNING id`,
};

// Ended by the way of all timers: unparked, claimed, and found expired. By timers_parked_expiry.
const releaseExpired = {
  name: 'release_expired_timers',
  text: `
WITH expired AS MATERIALIZED (
  SELECT ctid FROM belfry.timers
  WHERE parked_lane = $1::bigint AND expires_at <= statement_timestamp()
  ORDER BY expires_at LIMIT $2::integer FOR UPDATE SKIP LOCKED
), released AS (
  UPDATE belfry.timers SET parked_lane = NULL
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM expired)) RETURNING 1
)
SELECT count(*) FROM released`,
};

/** Parking timers in lanes and letting them go again. Each step is bounded and harmless twice. */
export function createLaneStore(database: Database) {
  async function counted(statement: { name: string; text: string }, values: readonly number[]) {
    const [row] = await database.query<[number]>(statement, values);
    return row?.[0] ?? 0;
  }
  return {
    async atWork(): Promise<LaneAtWork[]> {
      const rows =
        await database.query<[id: number, projectId: number, state: LaneAtWork['state']]>(
          lanesAtWork,
        );
      return rows.map(([id, projectId, state]) => ({ id, projectId, state }));
    },
    /** Resolves with those parked; the others are not ours any more, or their lane is not closed. */
    async park(timers: readonly (Fence & { readonly lane: number })[]): Promise<TimerId[]> {
      const sorted = timers.toSorted((a, b) => a.id - b.id);
      const rows = await database.query<[number]>(parkClaimed, [
        numberArray(sorted.map(({ id }) => id)),
        numberArray(sorted.map(({ owner }) => owner)),
        numberArray(sorted.map(({ claim }) => claim)),
        numberArray(sorted.map(({ lane }) => lane)),
      ]);
      return rows.map(([id]) => timerIdFromDatabase(id));
    },
    /** Parks unclaimed ones that are due within so long; resolves with how many. */
    parkNear: (lane: number, withinMs: number, rowsMax: number) =>
      counted(parkNear, [lane, withinMs, rowsMax]),
    /** Lets some go, those due first before others; undefined when it is not their time yet. */
    async release(lane: number, everyMs: number, rowsMax: number): Promise<Released | undefined> {
      const [row] = await database.query<[number, number | null]>(release, [
        lane,
        everyMs,
        rowsMax,
      ]);
      return row === undefined ? undefined : { count: row[0], nextAtMs: row[1] };
    },
    /** Once nothing is parked in it; false as long as something is. */
    async open(lane: number): Promise<boolean> {
      return (await database.query(openDrained, [lane])).length > 0;
    },
    releaseExpired: (lane: number, rowsMax: number) => counted(releaseExpired, [lane, rowsMax]),
  };
}
