import { numberArray } from './arrayLiteral.ts';
import {
  aheadClaimed,
  aheadDue,
  createClaimStore,
  dueUntil,
  ownerLives,
  parkingAt,
  sweptClaimed,
  sweptDue,
  valuesOf,
  type ClaimOptions,
  type ParkingClause,
} from './claim.ts';
import {
  claimedAnswer,
  claimedFrom,
  type Claimed,
  type ClaimedRow,
  type Floor,
} from './claimedRows.ts';
import type { Database } from './database.ts';
import { instantParameter } from './instantParameter.ts';

/** How far a project's claims have come, and how many more it may have now. */
export interface ProjectShare {
  readonly projectId: number;
  readonly floor: Floor;
  readonly most: number;
}

/** A claim that goes through projects, in the order of their ids. */
export interface FairClaimOptions extends ClaimOptions {
  /** Those of which more is known than `floor` and `most`; by their ids, ascending. */
  readonly known: readonly ProjectShare[];
  /** For a project that is not known. */
  readonly most: number;
  /** Walks through all projects with timers of an id above this. Null: takes those that are known only. */
  readonly walkFrom: number | null;
}

export interface FairlyClaimed extends Claimed {
  /** Where the walk goes on; null: it has come to the end. Nothing beyond the last timer, if there were too many. */
  readonly walkedTo: number | null;
}

/** Projects that one statement walks through. */
export const walkMax = 256;

// Through the ids of projects by the beginnings of their parts of timers_project_next_at (a loose index
// scan: PostgreSQL has none of its own, https://wiki.postgresql.org/wiki/Loose_indexscan): 256 projects
// cost it 2.5 ms with 10,000 timers each behind them; of 1,000,000 timers of one project it reads one.
// Each then gives its earliest by a scan of its own, whose bounds are those of the plain claims.
const fairDue = (
  first: number,
  due: { readonly columns: string; readonly condition: string },
  parking: ParkingClause | undefined,
) => {
  const [ids, instants, floorIds, mosts, most, from, walks] = Array.from(
    { length: 7 },
    (_, index) => `$${first + index}`,
  );
  return `
WITH RECURSIVE ${parking?.lanes ?? ''}known AS MATERIALIZED (
  SELECT * FROM unnest(${ids}::bigint[], ${instants}::timestamptz[], ${floorIds}::bigint[], ${mosts}::integer[])
    AS k(project_id, floor_at, floor_id, most)
), walk AS (
  (SELECT project_id FROM belfry.timers
   WHERE parked_lane IS NULL AND project_id > ${from}::bigint
   ORDER BY project_id, next_at, id LIMIT 1)
  UNION ALL
  SELECT (SELECT t.project_id FROM belfry.timers t
    WHERE t.parked_lane IS NULL AND t.project_id > walk.project_id
    ORDER BY t.project_id, t.next_at, t.id LIMIT 1)
  FROM walk WHERE walk.project_id IS NOT NULL
), walked AS MATERIALIZED (
  SELECT project_id FROM walk WHERE project_id IS NOT NULL LIMIT ${walks}::integer
), shares AS MATERIALIZED (
  SELECT * FROM known WHERE ${walks}::integer = 0
  UNION ALL
  SELECT project_id, coalesce(floor_at, $1::timestamptz), coalesce(floor_id, $2::bigint),
    coalesce(most, ${most}::integer)
  FROM walked LEFT JOIN known USING (project_id)
), due AS MATERIALIZED (
  SELECT first.* FROM (SELECT * FROM shares WHERE most > 0 ORDER BY project_id) AS share, LATERAL (
    SELECT ${due.columns}${parking?.column ?? ''} FROM belfry.timers
    WHERE project_id = share.project_id AND ${due.condition}
      AND next_at >= share.floor_at AND (next_at, id) > (share.floor_at, share.floor_id)
      AND next_at <= ${dueUntil}
    ORDER BY next_at, id LIMIT share.most
    FOR UPDATE SKIP LOCKED
  ) AS first
  WHERE ${ownerLives('$5')} LIMIT $4::integer
)`;
};

const walkedTo = (walks: string) =>
  `(SELECT CASE WHEN count(*) = ${walks}::integer THEN max(project_id) END FROM walked)`;

/** As `claimAhead`, a share of each project. */
const aheadBy = (name: string, parking?: ParkingClause) => ({
  name,
  text: `${fairDue(7, aheadDue, parking)}${aheadClaimed(parking)}${claimedAnswer(parking !== undefined, walkedTo('$13'))}`,
});
export const claimAheadFairly = aheadBy('claim_ahead_fairly');
const claimOrParkAheadFairly = aheadBy('claim_or_park_ahead_fairly', parkingAt('$14'));

/** As `sweep`, a share of each project. */
const sweepBy = (name: string, parking?: ParkingClause) => ({
  name,
  text: `${fairDue(8, sweptDue, parking)}${sweptClaimed(parking)}${claimedAnswer(parking !== undefined, walkedTo('$14'))}`,
});
export const sweepFairly = sweepBy('sweep_fairly');
const sweepOrParkFairly = sweepBy('sweep_or_park_fairly', parkingAt('$15'));

/** All claims, also by shares of projects, for when there is more than there is room for. */
export function createFairClaimStore(database: Database) {
  return {
    ...createClaimStore(database),
    async claimAheadFairly(options: FairClaimOptions): Promise<FairlyClaimed> {
      const { lanes } = options;
      const parks = lanes.length > 0;
      const values = [...valuesOf(options), ...sharesOf(options), ...(parks ? [lanes] : [])];
      const statement = parks ? claimOrParkAheadFairly : claimAheadFairly;
      return fairlyClaimed(await database.query<ClaimedRow>(statement, values), options);
    },
    async sweepFairly(
      options: FairClaimOptions & { lostClaims: readonly number[] },
    ): Promise<FairlyClaimed> {
      const { lanes, lostClaims } = options;
      const parks = lanes.length > 0;
      const shares = [...sharesOf(options), ...(parks ? [lanes] : [])];
      const values = [...valuesOf(options), lostClaims, ...shares];
      const statement = parks ? sweepOrParkFairly : sweepFairly;
      return fairlyClaimed(await database.query<ClaimedRow>(statement, values), options);
    },
  };
}

function sharesOf({ known, most, walkFrom }: FairClaimOptions): unknown[] {
  return [
    numberArray(known.map(({ projectId }) => projectId)),
    known.map(({ floor }) => instantParameter(floor.nextAtMs)),
    numberArray(known.map(({ floor }) => floor.id)),
    numberArray(known.map((share) => share.most)),
    most,
    walkFrom ?? 0,
    walkFrom === null ? 0 : walkMax,
  ];
}

function fairlyClaimed(rows: ClaimedRow[], options: FairClaimOptions): FairlyClaimed {
  const end = rows.at(-1);
  return {
    ...claimedFrom(rows, options),
    walkedTo: options.walkFrom === null || end?.[0] !== null ? null : end[1],
  };
}
