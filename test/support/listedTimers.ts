import type { Database } from '../../src/store/database.ts';
import { createDatabase } from '../../src/store/database.ts';
import { listSettings } from '../../src/store/listStatements.ts';
import { sql } from './database.ts';

/** Connections as lists have them. */
export function openListDatabase(url: string): Database {
  return createDatabase({
    url,
    transactionPooler: false,
    connectionsMax: 3,
    statementTimeoutMs: 10_000,
    settings: listSettings,
  });
}

/** Days for which history has partitions before today, as if the service had run for so long. */
export async function addPastPartitions(database: Database, days: number): Promise<void> {
  await sql(
    database,
    `DO $$ DECLARE day date; parent text; BEGIN
       FOR day IN SELECT (now() AT TIME ZONE 'UTC')::date - n FROM generate_series(1, ${days}) AS n LOOP
         FOREACH parent IN ARRAY ARRAY['history_done', 'history_failed'] LOOP
           EXECUTE format('CREATE TABLE belfry.%I PARTITION OF belfry.%I FOR VALUES FROM (%L) TO (%L)',
             parent || to_char(day, '_YYYYMMDD'), parent, day || 'T00:00:00Z', day + 1 || 'T00:00:00Z');
         END LOOP;
       END LOOP;
     END $$`,
  );
}

/**
 * So many timers, one created every `everyMs` until now: every sixth still waits, the others finished
 * within an hour. Every fifth bears `broad`, every thousandth `rare` besides.
 */
export async function seedTimers(
  database: Database,
  options: { count: number; everyMs: number },
): Promise<void> {
  const timers = `SELECT n AS id, created_at, url, labels, (n::bigint * 104729) % 3600000 AS spread_ms
    FROM (SELECT date_trunc('milliseconds', clock_timestamp()) AS now) AS base,
      generate_series(1, $1::integer) AS n,
      LATERAL (SELECT base.now - ($1::integer - n) * $2::float8 * interval '1 millisecond' AS created_at,
        'http://h' || n % 50 || '.example.com/' || n AS url,
        CASE WHEN n % 1000 = 1 THEN ARRAY['broad', 'rare'] WHEN n % 5 = 1 THEN ARRAY['broad'] END
          AS labels) AS t`;
  const values = [options.count, options.everyMs];
  await sql(
    database,
    `INSERT INTO belfry.history (id, project_id, finished_at, due_at, created_at, attempts, append_id,
       status, failure_code, url, method, labels, key)
     SELECT id, 1, created_at + spread_ms * interval '1 ms', created_at, created_at, 1, true,
       CASE id % 50 WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled' ELSE 'succeeded' END,
       CASE WHEN id % 50 = 1 THEN 'http_status' END, url, 'POST', labels,
       CASE WHEN id % 10 = 3 THEN 'k' || id % 20 END
     FROM (${timers}) AS t WHERE id % 6 <> 0`,
    values,
  );
  await sql(
    database,
    `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url, labels, key)
     SELECT id, 1, due_at, due_at, created_at, url, labels, CASE WHEN id <= 60 THEN 'k' || id END
     FROM (${timers}) AS t, LATERAL (SELECT date_trunc('milliseconds',
       clock_timestamp() + (60000 + spread_ms) * interval '1 ms') AS due_at) AS d
     WHERE id % 6 = 0`,
    values,
  );
  await sql(
    database,
    `INSERT INTO belfry.timer_labels (project_id, label, timer_id)
     SELECT project_id, label, id FROM (SELECT project_id, id, labels FROM belfry.timers
       UNION ALL SELECT project_id, id, labels FROM belfry.history) AS t, unnest(labels) AS label`,
  );
  await sql(database, `SELECT setval('belfry.timer_id', $1::bigint)`, [options.count]);
}

/** As many live and finished timers of project 2, newer and due sooner than all others. */
export async function seedOthers(
  database: Database,
  { firstId, count }: { firstId: number; count: number },
): Promise<void> {
  const timers = `SELECT $1::bigint + n AS id, date_trunc('milliseconds', clock_timestamp()) AS at
    FROM generate_series(1, $2::integer) AS n`;
  await sql(
    database,
    `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url, labels, key)
     SELECT id, 2, at + interval '30 s', at, at, 'http://b/', ARRAY['broad'], 'k' || id
     FROM (${timers}) AS t`,
    [firstId, count],
  );
  await sql(
    database,
    `INSERT INTO belfry.history (id, project_id, finished_at, due_at, created_at, attempts, append_id,
       status, url, method, labels, key)
     SELECT id, 2, at, at, at, 1, true, CASE WHEN id % 2 = 0 THEN 'succeeded' ELSE 'failed' END,
       'http://b/', 'POST', ARRAY['broad'], 'k' || id % 20 FROM (${timers}) AS t`,
    [firstId + count, count],
  );
  await sql(
    database,
    `INSERT INTO belfry.timer_labels (project_id, label, timer_id)
     SELECT 2, 'broad', $1::bigint + n FROM generate_series(1, 2 * $2::integer) AS n`,
    [firstId, count],
  );
}
