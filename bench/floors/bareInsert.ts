import { Client } from 'pg';
import { serveParent } from '../harness/child.ts';

/**
 * The floor of bulk: the same rows into the same table with the same indexes and driver, batches of
 * the same size, one commit each, on one connection; ids are counted, nothing is checked.
 */
const BATCH_ROWS = 500;
const MONTH_MS = 30 * 86_400_000;

const INSERT = {
  name: 'bare_insert',
  text: `
INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, append_id, url, method)
SELECT id, 1, due_at, due_at, now(), true, url, 'POST'
FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) AS t(id, due_at, url)`,
};

async function create(input: { databaseUrl: string; count: number }): Promise<void> {
  const client = new Client({ connectionString: input.databaseUrl });
  await client.connect();
  const { rows } = await client.query<{ first: string }>(
    `SELECT setval('belfry.timer_id', nextval('belfry.timer_id') + $1) - $1 AS first`,
    [input.count],
  );
  let id = Number(rows[0]?.first);
  for (let left = input.count; left > 0; left -= BATCH_ROWS) {
    const batch = Array.from({ length: Math.min(left, BATCH_ROWS) }, () => ({
      id: id++,
      dueAt: new Date(Date.now() + Math.floor((1 + Math.random()) * MONTH_MS)).toISOString(),
    }));
    await client.query({
      ...INSERT,
      values: [
        `{${batch.map((row) => row.id).join(',')}}`,
        `{${batch.map((row) => row.dueAt).join(',')}}`,
        `{${batch.map(() => 'http://127.0.0.1:9/any').join(',')}}`,
      ],
    });
  }
  await client.end();
}

const handlers = { create };

export type BareInsertHandlers = typeof handlers;

serveParent(handlers);
