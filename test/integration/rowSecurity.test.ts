import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { defaultRequestRole, markedRequest } from '../../src/store/projectQuery.ts';
import { findRequestRole, prepareRequestRole } from '../../src/store/requestRole.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, databaseUrl, sql, testServerUrl } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

/** One row of each of two projects in every table that knows of projects. */
async function seed(database: Database): Promise<void> {
  await sql(database, `INSERT INTO belfry.projects (id, name) VALUES (2, 'b')`);
  for (const project of [1, 2]) {
    await sql(
      database,
      `WITH t AS (INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url)
         VALUES ($1, $1, now() + interval '1 hour', now(), now(), 'http://a/')),
       h AS (INSERT INTO belfry.history (id, project_id, finished_at, due_at, created_at, attempts,
           append_id, status, url, method)
         VALUES (10 + $1, $1, now(), now(), now(), 1, true, 'failed', 'http://a/', 'POST'),
           (20 + $1, $1, now(), now(), now(), 1, true, 'cancelled', 'http://a/', 'POST')),
       a AS (INSERT INTO belfry.attempts (timer_id, project_id, recorded_at, claim, number)
         VALUES (10 + $1, $1, now(), 1, 1)),
       l AS (INSERT INTO belfry.timer_labels VALUES ($1, 'x', $1)),
       k AS (INSERT INTO belfry.idempotency_keys VALUES ($1, 'k', '', $1, now(), now())),
       n AS (INSERT INTO belfry.lanes (project_id, kind, state) VALUES ($1, 'project', 'closed')),
       d AS (INSERT INTO belfry.destinations (project_id, pattern) VALUES ($1, '*')),
       b AS (INSERT INTO belfry.destination_books (project_id, revision) VALUES ($1, 0)),
       q AS (INSERT INTO belfry.quota_ledgers (project_id) VALUES ($1)),
       s AS (INSERT INTO belfry.secrets (project_id, name, box) VALUES ($1, 's', '1.k.x')),
       g AS (INSERT INTO belfry.signing_keys (project_id, id, slot, scheme, box)
         VALUES ($1, 'g', 1, 'v1', '1.k.x')),
       u AS (INSERT INTO belfry.audit_log (project_id, actor_kind, actor_id, actor_name, address,
           action, target, detail) VALUES ($1, 'open', '', '', '', 'x', '', '{}'))
       INSERT INTO belfry.tokens (id, project_id, name, secret_hash, scopes)
       VALUES ($1::bigint::text, $1, 'n', '', '{}')`.replaceAll(/\$1(?!:)/g, '$1::bigint'),
      [project],
    );
  }
}

/** Every table with a project in it, with the column that says which. */
async function tablesOf(database: Database): Promise<(readonly [table: string, column: string])[]> {
  const rows = await sql<[string]>(
    database,
    `SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = 'belfry'::regnamespace AND (c.relkind = 'p' OR c.relkind = 'r' AND NOT c.relispartition)
       AND a.attname = 'project_id' AND NOT a.attisdropped ORDER BY 1`,
  );
  return [...rows.map(([name]) => [name, 'project_id'] as const), ['projects', 'id']];
}

const db = await createTestDatabase();
after(() => db[Symbol.asyncDispose]());
before(() => seed(db.database));

/** A role that owns a database of its own, and may make no other roles. */
const owner = 'belfry_test_owner';

async function createOwnedDatabase(): Promise<
  AsyncDisposable & { readonly url: string; readonly database: Database }
> {
  const owned = await createTestDatabase({ empty: true });
  await sql(
    owned.database,
    `DO $$ BEGIN CREATE ROLE ${owner} LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
  );
  await sql(
    owned.database,
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO ${owner}', current_database()); END $$`,
  );
  const url = new URL(databaseUrl(testServerUrl(), new URL(owned.url).pathname.slice(1)));
  url.username = owner;
  url.password = 'x';
  const database = createDatabase({
    url: url.href,
    transactionPooler: false,
    connectionsMax: 3,
    statementTimeoutMs: 10_000,
    requestIdentity: markedRequest,
  });
  await migrate(database, await readMigrations());
  return {
    url: url.href,
    database,
    async [Symbol.asyncDispose]() {
      await database.close();
      await owned[Symbol.asyncDispose]();
    },
  };
}

async function assertWall(database: Database, policies: Database): Promise<void> {
  for (const [table, column] of await tablesOf(policies)) {
    const wrong = { name: '', text: `SELECT ${column} FROM belfry.${table}` };
    for (const project of [1, 2]) {
      const rows = await database.inProject(project).query<[number]>(wrong).catch(refused);
      assert.ok(rows === undefined || rows.length > 0, `${table} has no row of ${project}`);
      assert.ok(rows?.every(([of]) => of === project) !== false, `${table}: rows of others`);
    }
    assert.deepEqual((await database.inProject(3).query(wrong).catch(refused)) ?? [], [], table);
    for (const text of [
      `UPDATE belfry.${table} SET ${column} = 1`,
      `DELETE FROM belfry.${table}`,
      `INSERT INTO belfry.${table} OVERRIDING SYSTEM VALUE SELECT * FROM belfry.${table}`,
    ]) {
      const before = await sql(policies, `SELECT * FROM belfry.${table}`);
      const changed = `${text} RETURNING 1`;
      const rows = await database.inProject(1).query({ name: '', text: changed }).catch(refused);
      assert.deepEqual(rows ?? [], [], `${text} did something`);
      assert.deepEqual(await sql(policies, `SELECT * FROM belfry.${table}`), before, text);
    }
  }
}

/** Undefined for what the server refused: no right, or against a policy. */
function refused(err: unknown): undefined {
  assert.equal((err as { code?: string }).code, '42501', String(err));
  return undefined;
}

test('every table with a project in it is kept to projects; a new one needs keep_to_project', async () => {
  const tables = await tablesOf(db.database);
  assert.ok(tables.length >= 8);
  for (const [table] of tables) {
    const [row] = await sql<[boolean, string[]]>(
      db.database,
      `SELECT relrowsecurity, ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid ORDER BY 1)
       FROM pg_class c WHERE oid = $1::regclass`,
      [`belfry.${table}`],
    );
    assert.deepEqual(row, [true, ['engine', 'one_project']], table);
  }
});

test('as the request of a project: no row of another, whatever is asked, and nothing to change', () =>
  assertWall(db.database, db.database));

test('the policies alone hold, also where a right was given by mistake; nothing set: no row at all', async () => {
  await db.database.session(async (client) => {
    await client.query('BEGIN');
    await client.query(`GRANT ALL ON ALL TABLES IN SCHEMA belfry TO ${defaultRequestRole}`);
    await client.query(`SET LOCAL ROLE ${defaultRequestRole}`);
    for (const [table, column] of await tablesOf(db.database)) {
      const read = async (project: string) => {
        await client.query("SELECT set_config('belfry.project_id', $1, true)", [project]);
        const { rows } = await client.query<{ of: number }>(
          `SELECT ${column} AS of FROM belfry.${table}`,
        );
        return rows.map(({ of }) => of);
      };
      const own = await read('2');
      assert.ok(own.length > 0 && own.every((of) => of === 2), table);
      assert.deepEqual(await read(''), [], table);
      const { rowCount } = await client.query(`UPDATE belfry.${table} SET ${column} = 2`);
      assert.equal(rowCount, 0, table);
    }
    await client.query('ROLLBACK');
  });
  // A connection on which no project was ever set.
  await using other = await freshConnection();
  assert.deepEqual(
    await other.database.session(async (client) => {
      await client.query(`BEGIN; SET LOCAL ROLE ${defaultRequestRole}`);
      const { rows } = await client.query('SELECT 1 FROM belfry.timers');
      await client.query('ROLLBACK');
      return rows;
    }),
    [],
  );
});

async function freshConnection(statementTimeoutMs = 10_000) {
  const database = createDatabase({
    url: db.url,
    transactionPooler: false,
    connectionsMax: 1,
    statementTimeoutMs,
  });
  return { database, [Symbol.asyncDispose]: () => database.close() };
}

test('a pooled connection keeps neither role nor project: not after answers, errors, timeouts or kills', async () => {
  await using one = await freshConnection(1_000);
  const { database } = one;
  const state = async () => {
    const [row] = await sql<[user: string, project: string | null, pid: number]>(
      database,
      `SELECT current_user, nullif(current_setting('belfry.project_id', true), ''), pg_backend_pid()`,
    );
    assert.ok(row !== undefined);
    return row;
  };
  const [user, , pid] = await state();
  const inProject = <Row extends readonly unknown[]>(name: string, text: string) =>
    database.inProject(2).query<Row>({ name, text });
  const isUntouched = async () => assert.deepEqual(await state(), [user, null, pid]);
  const whoAmI = `SELECT current_user::text, current_setting('belfry.project_id')`;
  for (const name of ['', 'who', 'who']) {
    assert.deepEqual(await inProject(name, whoAmI), [[defaultRequestRole, '2']]);
    await isUntouched();
  }
  for (const text of ['SELECT 1/(SELECT 0)', 'SELEC', 'SELECT * FROM belfry.installation']) {
    await assert.rejects(inProject('', text));
    await isUntouched();
    // The name of a refused statement is free still, and the next one of it works.
    await assert.rejects(inProject(`bad ${text}`, text));
    await isUntouched();
  }
  // Such a connection is given up; the next is none of the project's either.
  const isClean = async () => {
    const [userNow, project] = await state();
    assert.deepEqual([userNow, project], [user, null]);
  };
  await assert.rejects(inProject('slow', 'SELECT pg_sleep(5)'), { code: 'store_unavailable' });
  await isClean();
  const end = async (how: string) => {
    const [, , pidNow] = await state();
    const asked = inProject(how, 'SELECT pg_sleep(0.9)');
    await Promise.all([
      assert.rejects(asked, {
        code: how === 'cancel' ? 'store_unavailable' : 'commit_unknown',
      }),
      sql(db.database, `SELECT pg_sleep(0.2), pg_${how}_backend($1::integer)`, [pidNow]),
    ]);
    await isClean();
    assert.deepEqual(await inProject('who', whoAmI), [[defaultRequestRole, '2']]);
  };
  await end('cancel');
  await end('terminate');
});

test('no value of a project leads out of it', async () => {
  const all = { name: '', text: 'SELECT id FROM belfry.timers' };
  for (const project of [NaN, Infinity, 1.5]) {
    await assert.rejects(db.database.inProject(project).query(all), String(project));
  }
  assert.deepEqual(await db.database.inProject(-1).query(all), []);
});

test('where only one role is to be had, its requests see one project, and the engine all', async () => {
  await using owned = await createOwnedDatabase();
  const { database } = owned;
  const name = 'belfry_nobody_made_this';
  await assert.rejects(findRequestRole(database, name), /run "belfry migrate" first/);
  const [one, two] = await Promise.all([
    prepareRequestRole(database, name),
    prepareRequestRole(database, name),
  ]);
  assert.deepEqual([one, two], [markedRequest, markedRequest]);
  assert.deepEqual(await findRequestRole(database, name), markedRequest);
  await seed(database);
  await assertWall(database, database);
  const [marked] = await database.session(async (client) => {
    await client.query("BEGIN; SET LOCAL belfry.role = 'request'");
    const { rows } = await client.query('SELECT count(*)::integer AS count FROM belfry.timers');
    await client.query('ROLLBACK');
    return rows as { count: number }[];
  });
  assert.equal(marked?.count, 0, 'without a project there is no row');
  assert.deepEqual(await sql(database, 'SELECT count(*) FROM belfry.timers'), [[2]]);
});

test('the service works with one role: creates, delivers, pauses, lists', async () => {
  await using owned = await createOwnedDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(owned.url, {
    DATABASE_REQUEST_ROLE: 'belfry_nobody_made_this',
  });
  const timer = await app.post({ url: receiver.url, labels: ['a'] });
  assert.equal(timer.status, 201);
  await receiver.arrived(1);
  await eventually('it has succeeded', async () => {
    const { body } = await app.get(`/timers/${String(timer.body['id'])}`);
    return body['status'] === 'succeeded';
  });
  const paused = await request(`${app.url}/projects/1/pause`, { method: 'POST' });
  assert.equal(paused.status, 200, paused.text);
  const later = await app.post({ url: receiver.url, delay: 1, labels: ['a'] });
  assert.equal((await app.cancel(later.body['id'])).status, 200);
  const { body } = await app.get('/timers?label=a');
  assert.equal((body['timers'] as unknown[]).length, 2);
});

test('once somebody has made the role, it is used, and nothing is forced any more', async () => {
  const owned = await createOwnedDatabase();
  const name = 'belfry_test_request';
  assert.deepEqual(await prepareRequestRole(owned.database, name), markedRequest);
  await sql(db.database, `CREATE ROLE ${name} NOLOGIN`);
  await sql(db.database, `GRANT ${name} TO ${owner}`);
  try {
    const identity = await prepareRequestRole(owned.database, name);
    assert.deepEqual(identity, { setting: 'role', value: name });
    const rows = await sql<[number]>(
      owned.database,
      `SELECT count(*) FROM pg_class WHERE relforcerowsecurity AND relnamespace = 'belfry'::regnamespace`,
    );
    assert.deepEqual(rows, [[0]]);
  } finally {
    await sql(owned.database, `DROP OWNED BY ${name}`).catch(() => undefined);
    await owned[Symbol.asyncDispose]();
    await sql(db.database, `DROP ROLE ${name}`);
  }
});

test('several databases of a cluster make the role at once', async () => {
  const name = 'belfry_test_shared';
  const databases = await Promise.all([1, 2, 3, 4].map(() => createTestDatabase()));
  try {
    const identities = await Promise.all(
      databases.flatMap(({ database }) => [
        prepareRequestRole(database, name),
        prepareRequestRole(database, name),
      ]),
    );
    for (const identity of identities) assert.deepEqual(identity, { setting: 'role', value: name });
  } finally {
    for (const database of databases) await database[Symbol.asyncDispose]();
    await sql(db.database, `DROP ROLE ${name}`);
  }
});
