import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { createDatabase } from '../src/store/database.ts';
import { firstToken } from '../src/store/firstToken.ts';
import type { Belfry } from './belfry.ts';

/** Rows a statement: some seconds of work, so that a failure is seen early. */
const SEED_ROWS = 50_000;

/** Rows due at random instants between two, in ms from now; `OFFSET 0` keeps `at` from being drawn twice. */
const INSERT_DUE = `
INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url)
SELECT nextval('belfry.timer_id'), $5::bigint, at, at, now() - interval '1 hour', $2::text
FROM (
  SELECT date_trunc('milliseconds',
    now() + ($3::float8 + random() * ($4::float8 - $3::float8)) * interval '1 millisecond') AS at
  FROM generate_series(1, $1::integer) OFFSET 0
) AS due`;

const IDLE_OWNER = 123_456_789;

const INSERT_OWNED = `
INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url, owner, claim)
SELECT nextval('belfry.timer_id'), 1, at, at, at, 'http://127.0.0.1:9/any', ${IDLE_OWNER}, 1
FROM (
  SELECT date_trunc('milliseconds', now() - random() * interval '1 minute') AS at
  FROM generate_series(1, $1::integer) OFFSET 0
) AS due`;

const DAY_MS = 86_400_000;

/** Timers that wait between 30 and 60 days, vacuumed and checkpointed so that nothing runs later. */
export async function seedFarFuture(belfry: Belfry, count: number): Promise<void> {
  for (let left = count; left > 0; left -= SEED_ROWS) {
    await seed(belfry, {
      count: Math.min(left, SEED_ROWS),
      fromMs: 30 * DAY_MS,
      toMs: 60 * DAY_MS,
    });
  }
  await belfry.query('VACUUM (ANALYZE) belfry.timers');
  await belfry.query('CHECKPOINT');
}

/** One statement, one commit: all of it is there at once. Ms from now, negative for overdue. */
export async function seed(
  belfry: Belfry,
  range: { count: number; fromMs: number; toMs: number; sinkPort?: number; projectId?: number },
): Promise<void> {
  const { count, fromMs, toMs, sinkPort = 9, projectId = 1 } = range;
  const url = `http://127.0.0.1:${sinkPort}/any`;
  await belfry.query(INSERT_DUE, [count, url, fromMs, toMs, projectId]);
}

/** Waits until every timer that is due has its outcome recorded. Throws: Error at the deadline. */
export async function settled(belfry: Belfry, deadlineMs = 30_000): Promise<void> {
  const endMs = Date.now() + deadlineMs;
  for (;;) {
    const { rows } = await belfry.query(
      'SELECT count(*)::integer AS due FROM belfry.timers WHERE next_at <= now()',
    );
    if (rows[0]?.due === 0) return;
    if (Date.now() > endMs) throw new Error(`${rows[0]?.due} due timers have no outcome`);
    await sleep(100);
  }
}

/** A project besides the one that is there from the beginning. */
export async function addProject(belfry: Belfry, id: number): Promise<void> {
  await belfry.query('INSERT INTO belfry.projects (id, name) VALUES ($1, $2)', [id, `bench-${id}`]);
}

/** How many timers to this port are not finished, or have failed. */
export async function unfinished(belfry: Belfry, sinkPort: number): Promise<number> {
  const { rows } = await belfry.query(
    `SELECT (SELECT count(*) FROM belfry.timers WHERE url = $1)::integer
       + (SELECT count(*) FROM belfry.history WHERE url = $1)::integer AS count`,
    [`http://127.0.0.1:${sinkPort}/any`],
  );
  return Number(rows[0]?.count);
}

/** The operator's token, for a service that asks for one. */
export async function giveToken(belfry: Belfry): Promise<string> {
  const database = createDatabase({
    url: belfry.databaseUrl,
    transactionPooler: false,
    connectionsMax: 1,
    statementTimeoutMs: 10_000,
  });
  try {
    const token = await firstToken(database, true);
    if (token === undefined) throw new Error('no token was given');
    return token;
  } finally {
    await database.close();
  }
}

/** Removes what waits, so that the next measure meets an empty table. */
export async function clear(belfry: Belfry): Promise<void> {
  await belfry.query('TRUNCATE belfry.timers');
}

/**
 * Holds an old snapshot as a forgotten report or a stuck replica would: from now on vacuum may
 * remove no row version that dies. Ends with `dispose`.
 */
export async function holdSnapshot(belfry: Belfry): Promise<AsyncDisposable> {
  const client: Client = await belfry.connect();
  await client.query('SET idle_in_transaction_session_timeout = 0');
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await client.query('SELECT 1 FROM belfry.timers LIMIT 1');
  return { [Symbol.asyncDispose]: () => client.end() };
}

/** A place in the index: the last of the owned timers. */
export interface OwnedEnd {
  /** As the database writes it. */
  readonly nextAt: string;
  readonly id: number;
}

/** A process that lives for another hour: only such a one is given timers. */
export async function registerProcess(belfry: Belfry, id: number): Promise<void> {
  await belfry.query(
    `INSERT INTO belfry.processes (id, expires_at, host, pid)
     VALUES ($1, clock_timestamp() + interval '1 hour', 'bench', 1)`,
    [id],
  );
}

/** Timers of the last minute, owned by a process that lives for another hour and does nothing. */
export async function seedOwned(belfry: Belfry, count: number): Promise<OwnedEnd> {
  await registerProcess(belfry, IDLE_OWNER);
  await belfry.query(INSERT_OWNED, [count]);
  await belfry.query('VACUUM (ANALYZE) belfry.timers');
  const { rows } = await belfry.query(`
SELECT next_at::text AS "nextAt", id::float8 FROM belfry.timers
WHERE owner = ${IDLE_OWNER} ORDER BY next_at DESC, timers.id DESC LIMIT 1`);
  return { nextAt: String(rows[0]?.nextAt), id: Number(rows[0]?.id) };
}
