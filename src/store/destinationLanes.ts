import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import { numberArray, textArray } from './arrayLiteral.ts';
import type { Fence } from './claim.ts';
import type { Database } from './database.ts';

/** An origin of a project: `https://example.com:8443`. */
export interface Destination {
  readonly projectId: number;
  readonly origin: string;
}

/** A lane in which timers of one destination wait, or from which none may leave for now. */
export interface LimitedLane extends Destination {
  readonly id: number;
  /** Nothing leaves it before; -Infinity where nothing but room, rate and permits holds it up. */
  readonly closedUntilMs: number;
  /** When a probe may leave one that is closed. */
  readonly probeAtMs: number;
}

// By lanes_at_work: nothing to read where nobody waits.
const limitedLanes = {
  name: 'limited_lanes',
  text: `
SELECT id, project_id, target, date_part('epoch', closed_until) * 1000,
  date_part('epoch', next_release_at) * 1000
FROM belfry.lanes WHERE state <> 'open' AND kind = 'destination'`,
};

// What a process has claimed goes into the lanes, which become limited, in one statement under its fence;
// by timers_pkey. The lanes are written, and so locked, whatever they were: see openEmptied.
const parkAtDestinations = {
  name: 'park_at_destinations',
  text: `
WITH input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[])
    AS i(id, owner, claim, project_id, target)
), lane AS (
  INSERT INTO belfry.lanes AS l (project_id, kind, target, state)
  SELECT DISTINCT project_id, 'destination', target, 'limited' FROM input ORDER BY project_id, target
  ON CONFLICT (project_id, kind, target) DO UPDATE SET state = 'limited',
    parkings = l.parkings + 1,
    changed_at = CASE WHEN l.state = 'limited' THEN l.changed_at ELSE clock_timestamp() END
  RETURNING id, project_id, target
)
UPDATE belfry.timers t SET parked_lane = l.id, owner = NULL, claim = NULL, start_marked = false
FROM input i JOIN lane l ON l.project_id = i.project_id AND l.target = i.target
WHERE t.id = ANY ($1::bigint[]) AND t.id = i.id AND t.owner = i.owner AND t.claim = i.claim
RETURNING t.id, l.id`,
};

// Whoever parks writes the lane. Where that was after this statement began, it finds another count of
// parkings behind the lock than its snapshot has, and leaves the lane as it is: so none that was found
// empty is opened over a timer. Those that wait in it and are not due yet are let go with it: else a lane
// with a few timers always ahead would never open. They are locked in the order of ids, and found again
// by id: one that was changed since the snapshot must not stay behind. By timers_parked.
const openEmptied = {
  name: 'open_emptied_lane',
  text: `
WITH opened AS (
  UPDATE belfry.lanes SET state = 'open', changed_at = clock_timestamp()
  WHERE id = $1::bigint AND state = 'limited' AND closed_until <= statement_timestamp()
    AND parkings = (SELECT seen.parkings FROM belfry.lanes seen WHERE seen.id = $1::bigint)
    AND NOT EXISTS (SELECT 1 FROM belfry.timers
      WHERE parked_lane = $1::bigint AND next_at <= statement_timestamp())
    AND (SELECT count(*) FROM (SELECT 1 FROM belfry.timers
      WHERE parked_lane = $1::bigint LIMIT $2::integer + 1) AS few) <= $2::integer
  RETURNING id
), ahead AS MATERIALIZED (
  SELECT id FROM belfry.timers WHERE parked_lane = (SELECT id FROM opened) ORDER BY id FOR UPDATE
), released AS (
  UPDATE belfry.timers t SET parked_lane = NULL FROM ahead
  WHERE t.id = ahead.id AND t.parked_lane = $1::bigint RETURNING t.next_at
)
SELECT round(date_part('epoch', min(next_at)) * 1000)::bigint FROM released
HAVING EXISTS (SELECT 1 FROM opened)`,
};

// By timers_parked_expiry, all lanes in one statement. They are ended by the way of all timers: unparked,
// claimed, and found expired.
const releaseExpired = {
  name: 'release_expired_at_destinations',
  text: `
WITH expired AS MATERIALIZED (
  SELECT first.ctid FROM unnest($1::bigint[]) AS lane(id), LATERAL (
    SELECT t.ctid FROM belfry.timers t
    WHERE t.parked_lane = lane.id AND t.expires_at <= statement_timestamp()
    ORDER BY t.expires_at LIMIT $2::integer FOR UPDATE SKIP LOCKED) AS first
)
UPDATE belfry.timers SET parked_lane = NULL WHERE ctid = ANY (ARRAY(SELECT ctid FROM expired))`,
};

// Of lanes that nobody has needed for an hour.
const forgetOpen = {
  name: 'forget_open_lanes',
  text: `
DELETE FROM belfry.lanes WHERE id IN (
  SELECT id FROM belfry.lanes
  WHERE kind = 'destination' AND state = 'open' AND changed_at < statement_timestamp() - interval '1 hour'
  LIMIT 1000 FOR UPDATE SKIP LOCKED)`,
};

/** Parking timers at destinations, and what may leave. Pulling them out again is a claim: store/claim. */
export function createDestinationLaneStore(database: Database) {
  return {
    async limited(): Promise<LimitedLane[]> {
      const rows =
        await database.query<
          [id: number, projectId: number, origin: string, until: number, probeAt: number]
        >(limitedLanes);
      return rows.map(([id, projectId, origin, closedUntilMs, probeAtMs]) => {
        return { id, projectId, origin, closedUntilMs, probeAtMs };
      });
    },
    /** Resolves with those parked, and in which lane; the others are not ours any more. */
    async parkAt(
      timers: readonly (Fence & Destination)[],
    ): Promise<{ readonly id: TimerId; readonly lane: number }[]> {
      const sorted = timers.toSorted((a, b) => a.id - b.id);
      const rows = await database.query<[id: number, lane: number]>(parkAtDestinations, [
        numberArray(sorted.map(({ id }) => id)),
        numberArray(sorted.map(({ owner }) => owner)),
        numberArray(sorted.map(({ claim }) => claim)),
        numberArray(sorted.map(({ projectId }) => projectId)),
        textArray(sorted.map(({ origin }) => origin)),
      ]);
      return rows.map(([id, lane]) => ({ id: timerIdFromDatabase(id), lane }));
    },
    /**
     * Once nothing that is due is parked in it, and it is not closed; undefined as long as something is.
     * At most `aheadMax` that are due later are let go with it: resolves with when the first of them is.
     */
    async open(
      lane: number,
      aheadMax: number,
    ): Promise<{ readonly nextAtMs: number | null } | undefined> {
      const [row] = await database.query<[number | null]>(openEmptied, [lane, aheadMax]);
      return row === undefined ? undefined : { nextAtMs: row[0] };
    },
    /** Lets go what has expired while it waited, at most so many of each lane. */
    async releaseExpired(lanes: readonly number[], rowsMax: number): Promise<void> {
      await database.query(releaseExpired, [numberArray(lanes), rowsMax]);
    },
    /** Some thousand at most. */
    async forget(): Promise<void> {
      await database.query(forgetOpen);
    },
  };
}
