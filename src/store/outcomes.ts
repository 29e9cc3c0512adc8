import {
  statusAfter,
  type AttemptRecord,
  type FailureCode,
  type Verdict,
} from '../core/attempt.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import { byteaArray, numberArray, textArray } from './arrayLiteral.ts';
import { createBatcher, type Batcher } from './batcher.ts';
import type { Database } from './database.ts';

/** What is written about a timer that this process owns. `attempt` is null when none was started. */
export interface Recording {
  readonly timer: ClaimedTimer;
  readonly verdict: Verdict;
  readonly attempt: AttemptRecord | null;
}

/**
 * `stale`: the timer was not ours any more and nothing was written; `refused`: the database does not take it,
 * though it takes others.
 */
export type Recorded = 'recorded' | 'stale' | 'refused';

// One statement moves finished timers to history, moves the others to their retry and keeps the
// attempts, all under the fence (id, owner, claim). It answers only with what the fence refused.
//
// The ids once more, as `= ANY`: so timers_pkey is read for them alone, whatever the planner believes. By the
// join alone it read all of a table that had been analysed when it was empty: with 100,000 timers, 1.8 s a batch.
// So do the other statements that are told which timers they are about.
//
// Where no receiver has answered anything worth keeping, as on a bare 204, the columns for that are
// left out, here and in the statement.
const responseColumns = ['response_headers', 'response_body', 'response_bytes'];

function recordStatement(name: string, more: readonly string[], moreTypes: readonly string[]) {
  const params = moreTypes.map((type, index) => `, $${index + 12}::${type}[]`).join('');
  const columns = more.map((column) => `, ${column}`).join('');
  const ofInput = more.map((column) => `, i.${column}`).join('');
  const text = `
WITH input AS MATERIALIZED (
  SELECT i.*, statement_timestamp() AS at,
    timestamptz 'epoch' + i.started_at_ms * interval '1 millisecond' AS started_at
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::float8[],
    $7::float8[], $8::real[], $9::real[], $10::smallint[], $11::text[]${params})
    AS i(id, owner, claim, status, failure_code, delay_ms,
      started_at_ms, lateness_ms, duration_ms, http_status, error_code${columns})
), finished AS (
  DELETE FROM belfry.timers t USING input i
  WHERE t.id = ANY (ARRAY(SELECT id FROM input WHERE status <> 'retrying'))
    AND t.id = i.id AND t.owner = i.owner AND t.claim = i.claim
  RETURNING t.*, i.status, i.failure_code, i.at, i.started_at, i.lateness_ms, i.duration_ms,
    i.http_status, i.error_code${ofInput}
), history AS (
  INSERT INTO belfry.history (id, project_id, finished_at, due_at, created_at, expires_at,
    attempts, timeout_ms, append_id, status, failure_code, url, method, headers, body, retry, labels,
    metadata, version, key)
  SELECT id, project_id, at, due_at, created_at, expires_at,
    attempts + (started_at IS NOT NULL)::integer, timeout_ms, append_id, status, failure_code,
    url, method, headers, body, retry, labels, metadata, version, key
  FROM finished
), retried AS (
  UPDATE belfry.timers t SET owner = NULL, claim = NULL, start_marked = false, lost_in_row = 0,
    attempts = t.attempts + 1, failures = t.failures + 1,
    next_at = date_trunc('milliseconds', i.at + (i.delay_ms + 0.999) * interval '1 millisecond')
  FROM input i
  WHERE t.id = ANY (ARRAY(SELECT id FROM input WHERE status = 'retrying'))
    AND t.id = i.id AND t.owner = i.owner AND t.claim = i.claim
  RETURNING t.id, t.project_id, t.attempts - 1 AS attempts, i.claim, i.at, i.started_at,
    i.lateness_ms, i.duration_ms, i.http_status, i.error_code${ofInput}
), written AS (
  SELECT id, project_id, attempts, claim, at, started_at, lateness_ms, duration_ms, http_status,
    error_code${columns}
  FROM finished UNION ALL SELECT * FROM retried
), kept AS (
  INSERT INTO belfry.attempts (timer_id, project_id, recorded_at, claim, started_at, number,
    lateness_ms, duration_ms, status, error_code${columns})
  SELECT id, project_id, at, claim, started_at, attempts + 1, lateness_ms, duration_ms,
    http_status, error_code${columns}
  FROM written WHERE started_at IS NOT NULL
)
SELECT i.id FROM input i WHERE NOT EXISTS (SELECT 1 FROM written w WHERE w.id = i.id)`;
  return { name, text };
}

const recordOutcomes = recordStatement('record_outcomes', [], []);
const recordResponses = recordStatement('record_outcomes_and_responses', responseColumns, [
  'jsonb',
  'bytea',
  'integer',
]);

// A flush that is repeated after a lost reply may find that it had been committed: then its own
// claim stands among the attempts, or its timer is in history without one (expired).
const findRecorded = {
  name: 'find_recorded',
  text: `
SELECT i.id FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) AS i(id, claim, attempted)
WHERE CASE WHEN i.attempted
  THEN EXISTS (SELECT 1 FROM belfry.attempts a WHERE a.timer_id = i.id AND a.claim = i.claim)
  ELSE EXISTS (SELECT 1 FROM belfry.history h WHERE h.id = i.id AND h.status = 'failed') END`,
};

// Draining 150,000 at 16,000/s: 75 rows a flush without it, 170 with it, which saved 3 of 54 µs of
// CPU a timer here and 2 of 24 in PostgreSQL. 10 ms saved no more.
const gatherMs = 4;

/** Records outcomes in batches; a lost connection is retried until the commit is known. */
export function createOutcomeRecorder(database: Database): Batcher<Recording, Recorded> {
  async function flush(recordings: readonly Recording[], attempt: number): Promise<Recorded[]> {
    const refused = new Set(await write(recordings));
    if (refused.size > 0 && attempt > 1) {
      const doubtful = recordings.filter(({ timer }) => refused.has(timer.id));
      for (const id of await findWritten(doubtful)) refused.delete(id);
    }
    return recordings.map(({ timer }) => (refused.has(timer.id) ? 'stale' : 'recorded'));
  }

  async function write(unsorted: readonly Recording[]): Promise<number[]> {
    // In the order of ids, so that two flushes never wait for each other crosswise.
    const recordings = unsorted.toSorted((a, b) => a.timer.id - b.timer.id);
    const attempts = recordings.map((recording) => recording.attempt);
    const hasResponses = attempts.some((attempt) => attempt?.response !== undefined);
    const rows = await database.query<[number]>(hasResponses ? recordResponses : recordOutcomes, [
      numberArray(recordings.map(({ timer }) => timer.id)),
      numberArray(recordings.map(({ timer }) => timer.owner)),
      numberArray(recordings.map(({ timer }) => timer.claim)),
      textArray(recordings.map(({ verdict }) => statusAfter(verdict))),
      textArray(recordings.map(({ verdict }) => failureCodeOf(verdict))),
      numberArray(recordings.map(({ verdict: v }) => (v.kind === 'retry' ? v.delayMs : null))),
      numberArray(attempts.map((attempt) => attempt?.startedAtMs ?? null)),
      numberArray(attempts.map((attempt) => attempt?.latenessMs ?? null)),
      numberArray(attempts.map((attempt) => attempt?.durationMs ?? null)),
      numberArray(attempts.map((attempt) => attempt?.status ?? null)),
      textArray(attempts.map((attempt) => attempt?.errorCode ?? null)),
      ...(hasResponses ? responseArrays(attempts) : []),
    ]);
    return rows.map(([id]) => id);
  }

  async function findWritten(recordings: readonly Recording[]): Promise<number[]> {
    const rows = await database.query<[number]>(findRecorded, [
      recordings.map(({ timer }) => timer.id),
      recordings.map(({ timer }) => timer.claim),
      recordings.map(({ attempt }) => attempt !== null),
    ]);
    return rows.map(([id]) => id);
  }

  return createBatcher<Recording, Recorded>({
    name: 'outcomes',
    flush,
    // What is held already is recorded: the scheduler's bound is the bound.
    queueMax: Infinity,
    gatherMs,
    ofRefused: 'refused',
    onLoss: 'retry',
  });
}

function responseArrays(attempts: readonly (AttemptRecord | null)[]): string[] {
  const responses = attempts.map((attempt) => attempt?.response);
  return [
    textArray(responses.map((response) => jsonOf(response?.headers ?? null))),
    byteaArray(responses.map((response) => response?.body ?? null)),
    numberArray(responses.map((response) => response?.bytes ?? null)),
  ];
}

function jsonOf(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value);
}

function failureCodeOf(verdict: Verdict): FailureCode | null {
  return verdict.kind === 'failed' ? verdict.code : null;
}
