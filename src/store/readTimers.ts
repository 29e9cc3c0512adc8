import type { Json } from '../core/annotations.ts';
import type { AttemptErrorCode, FailureCode } from '../core/attempt.ts';
import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import type { RetryPolicy } from '../core/retryPolicy.ts';
import type {
  Attempt,
  AttemptWithResponse,
  HttpMethod,
  Timer,
  TimerRequest,
  TimerStatus,
} from '../core/timer.ts';
import { shownParts } from '../core/storedDefect.ts';
import type { Database } from './database.ts';
import { msUntil } from './msUntil.ts';

/** A timer as it stands in the database, and who holds it. */
export interface StoredTimer {
  readonly timer: Timer;
  /** The process that owns it; null when nobody does. */
  readonly owner: number | null;
  /** How long ago that process's heartbeat lapsed; negative while it lives, null if unknown. */
  readonly ownerLapsedMs: number | null;
  /** Milliseconds until the next attempt is due; negative once past, 0 when finished. */
  readonly dueInMs: number;
}

// Hot table and history in one statement, so in one snapshot: a timer on its way from one to the
// other is seen exactly once. Served by timers_pkey, history_project_id and attempts_timer_id. Of one that lives
// the partitions of the history are not looked at, nor those of the attempts before it has had any.
const readTimer = {
  name: 'read_timer',
  text: `
WITH live AS MATERIALIZED (
  SELECT id, project_id, CASE WHEN attempts = 0 THEN 'pending' ELSE 'retrying' END AS status,
    url, method, headers, body, append_id, timeout_ms, retry, labels, metadata,
    created_at, due_at, next_at, expires_at, NULL::timestamptz AS finished_at,
    NULL::text AS failure_code, attempts, owner, version, key
  FROM belfry.timers WHERE id = $1::bigint AND project_id = $2::bigint
), found AS (
  SELECT * FROM live
  UNION ALL
  SELECT id, project_id, status, url, method, headers, body, append_id, timeout_ms, retry, labels,
    metadata, created_at, due_at, NULL, expires_at, finished_at, failure_code, attempts, NULL,
    version, key
  FROM belfry.history
  WHERE id = $1::bigint AND project_id = $2::bigint AND NOT EXISTS (SELECT FROM live)
)
SELECT f.id, f.project_id, f.status, f.url, f.method, f.created_at, f.due_at, f.next_at,
  f.expires_at, f.finished_at, f.failure_code,
  CASE WHEN f.next_at IS NULL THEN 0
    ELSE greatest(0, ${msUntil('f.due_at')}) END,
  f.owner, -(${msUntil('p.expires_at')}),
  coalesce(${msUntil('f.next_at')}, 0),
  CASE WHEN f.attempts > 0 THEN (SELECT json_agg(json_build_object(
      'number', a.number, 'startedAtMs', extract(epoch FROM a.started_at) * 1000,
      'latenessMs', a.lateness_ms, 'durationMs', a.duration_ms, 'status', a.status,
      'errorCode', a.error_code) ORDER BY a.number)
    FROM belfry.attempts a WHERE a.timer_id = f.id) END,
  f.headers, f.body, f.append_id, f.timeout_ms, f.retry, f.labels, f.metadata,
  f.version, f.key
FROM found f LEFT JOIN belfry.processes p ON p.id = f.owner`,
};

type ReadRow = readonly [
  id: number,
  projectId: number,
  status: TimerStatus,
  url: string,
  method: HttpMethod,
  createdAtMs: number,
  dueAtMs: number,
  nextAtMs: number | null,
  expiresAtMs: number | null,
  finishedAtMs: number | null,
  failureCode: FailureCode | null,
  timeLeftMs: number,
  owner: number | null,
  ownerLapsedMs: number | null,
  dueInMs: number,
  attempts: (Attempt & { errorCode: AttemptErrorCode | null })[] | null,
  headers: TimerRequest['headers'],
  body: Buffer | null,
  appendId: boolean,
  timeoutMs: number | null,
  retry: RetryPolicy | null,
  labels: readonly string[] | null,
  metadata: Json,
  version: number,
  key: string | null,
];

// Served by timers_pkey, history_project_id and attempts_timer_id. No row: no such timer.
const readAttempts = {
  name: 'read_attempts',
  text: `
SELECT a.number, round((date_part('epoch', a.started_at) * 1000)::numeric, 3)::float8,
  a.lateness_ms, a.duration_ms, a.status, a.error_code,
  a.response_headers, a.response_body, a.response_bytes
FROM (
  SELECT id FROM belfry.timers WHERE id = $1::bigint AND project_id = $2::bigint
  UNION ALL
  SELECT id FROM belfry.history WHERE id = $1::bigint AND project_id = $2::bigint
) AS found LEFT JOIN belfry.attempts a ON a.timer_id = found.id
ORDER BY a.number, a.recorded_at`,
};

type AttemptRow = readonly [
  number: number | null,
  startedAtMs: number | null,
  latenessMs: number | null,
  durationMs: number | null,
  status: number | null,
  errorCode: AttemptErrorCode | null,
  responseHeaders: Readonly<Record<string, string>> | null,
  responseBody: Buffer | null,
  responseBytes: number | null,
];

export function createTimerReader(database: Database) {
  return {
    /** Every attempt with what was answered to it; undefined when the project has no such timer. */
    async attempts(projectId: number, id: TimerId): Promise<AttemptWithResponse[] | undefined> {
      const rows = await database
        .inProject(projectId)
        .query<AttemptRow>(readAttempts, [id, projectId]);
      if (rows.length === 0) return undefined;
      return rows.flatMap(([number, ...row]) => {
        if (number === null) return [];
        const [startedAtMs, latenessMs, durationMs, status, errorCode, headers, body, bytes] = row;
        const response = bytes === null ? null : { headers, body, bytes };
        return [{ number, startedAtMs, latenessMs, durationMs, status, errorCode, response }];
      });
    },
    /** The timer, live or finished; undefined when the project has none of that id. */
    async read(projectId: number, id: TimerId): Promise<StoredTimer | undefined> {
      const [row] = await database.inProject(projectId).query<ReadRow>(readTimer, [id, projectId]);
      if (row === undefined) return undefined;
      const parts = { method: row[4], headers: row[16], timeoutMs: row[19], retry: row[20] };
      const { method, headers, timeoutMs, retry, ...defect } = shownParts(parts);
      return {
        timer: {
          id: timerIdFromDatabase(row[0]),
          projectId: row[1],
          version: row[23],
          key: row[24],
          status: row[2],
          request: {
            url: row[3],
            method,
            headers,
            body: row[17],
            appendId: row[18],
            timeoutMs,
          },
          retry,
          labels: row[21],
          metadata: row[22],
          createdAtMs: row[5],
          dueAtMs: row[6],
          nextAtMs: row[7],
          expiresAtMs: row[8],
          finishedAtMs: row[9],
          failureCode: row[10],
          ...defect,
          timeLeftMs: row[11],
          attempts: row[15] ?? [],
        },
        owner: row[12],
        ownerLapsedMs: row[13],
        dueInMs: row[14],
      };
    },
  };
}

export type TimerReader = ReturnType<typeof createTimerReader>;
