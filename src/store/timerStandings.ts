import type { TimerStanding } from '../core/blockers.ts';
import { countMax } from '../core/blockers.ts';
import type { BreakerReason } from '../core/breaker.ts';
import { rateSpans, type DestinationRate } from '../core/destination.ts';
import { patternsOf } from '../core/destinationPattern.ts';
import type { TimerId } from '../core/ids.ts';
import type { AttemptErrorCode, FailureCode } from '../core/attempt.ts';
import { originOf } from '../core/target.ts';
import type { TimerStatus } from '../core/timer.ts';
import { textArray } from './arrayLiteral.ts';
import type { Database } from './database.ts';

/** What `explain` needs, and what tells whether an attempt is under way: see core/visibleStatus. */
export interface StoredStanding {
  readonly standing: TimerStanding;
  readonly owner: number | null;
  readonly ownerLapsedMs: number | null;
  readonly dueInMs: number;
}

const instantOf = (column: string) => `date_part('epoch', ${column}) * 1000`;

const readUrl = {
  name: 'read_timer_url',
  text: `
SELECT url FROM belfry.timers WHERE id = $1::bigint AND project_id = $2::bigint
UNION ALL
SELECT url FROM belfry.history WHERE id = $1::bigint AND project_id = $2::bigint`,
};

// Look-ups by timers_pkey or timers_project_id, history_project_id, attempts_timer_id, processes_pkey, lanes_cause and
// destinations_pattern; those before it in its lane by timers_parked, so many at the most.
export const readStanding = {
  name: 'read_timer_standing',
  text: `
WITH found AS MATERIALIZED (
  SELECT id, url, CASE WHEN attempts = 0 THEN 'pending' ELSE 'retrying' END AS status, next_at,
    NULL::timestamptz AS finished_at, NULL::text AS failure_code, attempts, owner, parked_lane, expires_at
  FROM belfry.timers WHERE id = $1::bigint AND project_id = $2::bigint
  UNION ALL
  SELECT id, url, status, NULL, finished_at, failure_code, 0, NULL, NULL, NULL
  FROM belfry.history WHERE id = $1::bigint AND project_id = $2::bigint
)
SELECT f.url, f.status, ${instantOf('f.next_at')}, ${instantOf('f.finished_at')}, f.failure_code, f.attempts,
  (SELECT a.error_code FROM belfry.attempts a WHERE a.timer_id = f.id ORDER BY a.number DESC LIMIT 1),
  f.owner, ${instantOf('p.expires_at')}, ${instantOf('clock_timestamp()')},
  pl.state, ${instantOf('pl.changed_at')},
  dl.id IS NOT NULL, ${instantOf('dl.changed_at')}, dl.closed_until > statement_timestamp(),
  dl.closed_reason, ${instantOf('dl.failing_since')},
  CASE WHEN dl.next_release_at < 'infinity' THEN ${instantOf('dl.next_release_at')} END,
  (SELECT kind FROM belfry.lanes WHERE id = f.parked_lane),
  CASE WHEN f.parked_lane IS NOT NULL THEN (SELECT count(*)::integer FROM (
    SELECT 1 FROM belfry.timers o WHERE o.parked_lane = f.parked_lane AND o.next_at < f.next_at
    LIMIT ${countMax}) AS before) ELSE 0 END,
  EXISTS (SELECT 1 FROM belfry.processes l WHERE l.expires_at > clock_timestamp()),
  (SELECT json_agg(json_build_array(d.pattern, d.is_paused, d.rate_count, d.rate_per, d.concurrency_max))
    FROM belfry.destinations d WHERE d.project_id = $2::bigint AND d.pattern = ANY ($4::text[])),
  ${instantOf('f.expires_at')}
FROM found f
LEFT JOIN belfry.processes p ON p.id = f.owner
LEFT JOIN belfry.lanes pl ON pl.project_id = $2::bigint AND pl.kind = 'project' AND pl.target = ''
  AND pl.state <> 'open'
LEFT JOIN belfry.lanes dl ON dl.project_id = $2::bigint AND dl.kind = 'destination' AND dl.target = $3
  AND dl.state <> 'open'`,
};

type Settings = readonly [
  pattern: string,
  isPaused: boolean,
  rateCount: number | null,
  ratePer: DestinationRate['per'] | null,
  concurrencyMax: number | null,
];

type StandingRow = readonly [
  url: string,
  status: TimerStatus,
  nextAtMs: number | null,
  finishedAtMs: number | null,
  failureCode: FailureCode | null,
  attempts: number,
  lastErrorCode: AttemptErrorCode | null,
  owner: number | null,
  ownerExpiresAtMs: number | null,
  nowMs: number,
  projectState: 'closed' | 'draining' | null,
  projectSinceMs: number,
  hasLane: boolean,
  laneSinceMs: number,
  isClosed: boolean,
  reason: BreakerReason | null,
  failingSinceMs: number | null,
  nextProbeAtMs: number | null,
  parkedIn: TimerStanding['parkedIn'],
  ahead: number,
  isServed: boolean,
  settings: readonly Settings[] | null,
  expiresAtMs: number | null,
];

const triesMax = 3;

/** What decides when a timer fires, of one moment. */
export function createStandingReader(database: Database) {
  return {
    /** Undefined when the project has no such timer. */
    async standing(projectId: number, id: TimerId): Promise<StoredStanding | undefined> {
      const project = database.inProject(projectId);
      const [first] = await project.query<[string]>(readUrl, [id, projectId]);
      let url = first?.[0];
      for (let tries = 1; url !== undefined; tries++) {
        const origin = originOf(url);
        const patterns = origin === '' ? [] : patternsOf(origin);
        const values = [id, projectId, origin, textArray(patterns)];
        const [row] = await project.query<StandingRow>(readStanding, values);
        if (row === undefined) return undefined;
        // It may have been edited to lead elsewhere meanwhile; somebody who does so without end is told of the last.
        if (row[0] === url || tries === triesMax) return standingOf(row, origin, patterns);
        [url] = row;
      }
      return undefined;
    },
  };
}

function standingOf(row: StandingRow, origin: string, patterns: readonly string[]): StoredStanding {
  const nextAtMs = row[2];
  const owner = row[7];
  const expiresAtMs = row[8];
  const nowMs = row[9];
  const projectState = row[10];
  return {
    standing: {
      nowMs,
      status: row[1],
      nextAtMs,
      expiresAtMs: row[22],
      finishedAtMs: row[3],
      failureCode: row[4],
      attempts: row[5],
      lastErrorCode: row[6],
      origin,
      owner: owner === null ? null : { id: owner, expiresAtMs },
      projectLane: projectState === null ? null : { state: projectState, sinceMs: row[11] },
      destinationLane: row[12]
        ? {
            sinceMs: row[13],
            isClosed: row[14],
            reason: row[15],
            failingSinceMs: row[16],
            nextProbeAtMs: row[17],
          }
        : null,
      settings: settingsOf(row[21] ?? [], patterns),
      parkedIn: row[18],
      ahead: row[19],
      isServed: row[20],
    },
    owner,
    ownerLapsedMs: expiresAtMs === null ? null : nowMs - expiresAtMs,
    dueInMs: nextAtMs === null ? 0 : nextAtMs - nowMs,
  };
}

/** Those of the most specific pattern. */
function settingsOf(
  all: readonly Settings[],
  patterns: readonly string[],
): TimerStanding['settings'] {
  for (const pattern of patterns) {
    const found = all.find(([of]) => of === pattern);
    if (found === undefined) continue;
    const [, isPaused, count, per, concurrencyMax] = found;
    const ratePerSecond = count === null || per === null ? null : count / rateSpans[per];
    return { isPaused, ratePerSecond, concurrencyMax };
  }
  return null;
}
