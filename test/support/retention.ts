import type { PartitionedTable } from '../../src/core/partitionPlan.ts';
import { createRetention } from '../../src/scheduler/retention.ts';
import type { Turn } from '../../src/scheduler/chores.ts';
import type { Database } from '../../src/store/database.ts';
import { createRetentionStore } from '../../src/store/retention.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { defaultRetention, sql } from './database.ts';

/** A turn that never ends. */
export const always: Turn = { mayGoOn: () => Promise.resolve(true) };

/** The chore as the service runs it. */
export function retentionOf(
  database: Database,
  retention = defaultRetention,
  lockTimeoutMs?: number,
) {
  return createRetention({
    store: createRetentionStore(database, lockTimeoutMs),
    retention,
    metrics: createMetrics(() => 0),
    log: silentLog(),
  });
}

/** A partition of so many days ago (from, to), as an earlier day would have made it. */
export async function createOldPartition(
  database: Database,
  { table, from, to }: { table: PartitionedTable; from: number; to: number },
): Promise<string> {
  const [bounds] = await sql<[string, string, string]>(
    database,
    `SELECT to_char(day, 'YYYYMMDD'), day::text, (day + ($1::integer - $2::integer))::text
     FROM (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date - $1::integer AS day) AS d`,
    [from, to],
  );
  const [day = '', start = '', end = ''] = bounds ?? [];
  const name = `${table}_${day}`;
  await sql(
    database,
    `CREATE TABLE belfry.${name} PARTITION OF belfry.${table}
     FOR VALUES FROM ('${start}T00:00:00Z') TO ('${end}T00:00:00Z')`,
  );
  return name;
}

/**
 * Finished timers of project 1, in the middle of the day so many days ago, with an attempt recorded
 * then and their labels, under ids that begin with `firstId`.
 */
export async function insertFinished(
  database: Database,
  options: {
    firstId: number;
    daysAgo: number;
    count?: number;
    status?: 'succeeded' | 'failed' | 'cancelled';
    labels?: readonly string[] | null;
  },
): Promise<void> {
  const { firstId, daysAgo, count = 1, status = 'succeeded', labels = ['a', 'b'] } = options;
  await sql(
    database,
    `WITH instant AS (
       SELECT date_trunc('day', clock_timestamp(), 'UTC') + interval '12 hours'
         - $2 * interval '1 day' AS at
     ), finished AS (
       INSERT INTO belfry.history (id, project_id, finished_at, due_at, created_at, attempts,
         append_id, status, url, method, labels)
       SELECT $1::bigint + n, 1, at, at, at, 1, true, $4, 'http://127.0.0.1:9/x', 'POST', $5::text[]
       FROM instant, generate_series(0, $3::integer - 1) AS n
       RETURNING id, project_id, labels
     ), labelled AS (
       INSERT INTO belfry.timer_labels (project_id, label, timer_id)
       SELECT project_id, unnest(labels), id FROM finished
     )
     INSERT INTO belfry.attempts (timer_id, project_id, recorded_at, claim, number)
     SELECT id, project_id, at, 1, 1 FROM finished, instant`,
    [firstId, daysAgo, count, status, labels],
  );
}

/** What is left: ids in history, with attempts, with labels. */
export async function leftIds(
  database: Database,
): Promise<{ history: number[]; attempts: number[]; labels: number[] }> {
  const [row] = await sql<[number[], number[], number[]]>(
    database,
    `SELECT
       (SELECT coalesce(json_agg(id ORDER BY id), '[]') FROM belfry.history),
       (SELECT coalesce(json_agg(timer_id ORDER BY timer_id), '[]') FROM belfry.attempts),
       (SELECT coalesce(json_agg(DISTINCT timer_id), '[]') FROM belfry.timer_labels)`,
  );
  const [history = [], attempts = [], labels = []] = row ?? [];
  return { history, attempts, labels: labels.toSorted((a, b) => a - b) };
}

/** Names of the tables of history and attempts, also of those on their way out. */
export async function tableNames(database: Database): Promise<string[]> {
  const rows = await sql<[string]>(
    database,
    `SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'belfry' AND c.relkind = 'r' AND c.relname ~ '(history|attempts)_'
     ORDER BY 1`,
  );
  return rows.map(([name]) => name);
}
