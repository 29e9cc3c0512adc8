import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { pgbouncerCommand, startPgbouncer } from '../support/pgbouncer.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';

const command = pgbouncerCommand();

/** Where PgBouncer cannot be had the tests are skipped, and say so; under CI they fail. */
function isAvailable(t: TestContext): boolean {
  if (command !== undefined) return true;
  if (process.env['CI'] !== undefined) assert.fail('pgbouncer is not installed');
  console.error('NOT TESTED: pgbouncer is not installed and could not be');
  t.skip('pgbouncer is not installed');
  return false;
}

async function wakeUp(app: TestApp) {
  const { status, body } = await app.get('/ready');
  assert.equal(status, 200, JSON.stringify(body));
  return (body['checks'] as Record<string, { ok: boolean; detail?: string }>)['wake_up'];
}

/** Creates, lets fire and cancels at both processes; whoever has the timer. */
async function exercise(one: TestApp, two: TestApp, receiver: Receiver): Promise<void> {
  const created = await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      (index % 2 === 0 ? one : two).post({ url: receiver.url, delay: (index % 50) / 40 }),
    ),
  );
  const near = await one.post({ url: `${receiver.url}/cancelled`, delay: 1.9 });
  const far = await one.post({ url: `${receiver.url}/cancelled`, hours: 1 });
  for (const timer of [near, far]) {
    const { status, body } = await two.cancel(timer.body['id']);
    assert.equal(status, 200, JSON.stringify(body));
  }
  await receiver.arrived(200);
  for (const timer of created) {
    assert.equal(timer.status, 201);
    const id = String(timer.body['id']);
    const arrivals = receiver.arrivals.filter(({ path }) => path === `/${id}`);
    assert.equal(arrivals.length, 1);
    assert.ok((arrivals[0]?.atMs ?? 0) >= Date.parse(String(timer.body['due_at'])));
    await eventually(`timer ${id} has succeeded`, async () => {
      const { body } = await one.get(`/timers/${id}`);
      return body['status'] === 'succeeded';
    });
  }
  assert.ok(!receiver.arrivals.some(({ path }) => path.startsWith('/cancelled')));
  const { status, body } = await two.get('/timers?status=finished&limit=500');
  assert.equal(status, 200, JSON.stringify(body));
  assert.ok(Array.isArray(body['timers']) && body['timers'].length === 202);
}

test('behind a transaction pooler alone: migrates, fires and cancels, by polling, and /ready says so', async (t) => {
  if (!isAvailable(t)) return;
  await using db = await createTestDatabase({ empty: true });
  await using receiver = await startReceiver();
  await using pooler = await startPgbouncer(command ?? '', db.url);
  const settings = { DATABASE_POOLER: 'transaction' };
  await using one = await startTestApp(pooler.url, settings);
  await using two = await startTestApp(pooler.url, settings);
  for (const app of [one, two]) {
    assert.deepEqual(await wakeUp(app), {
      ok: true,
      detail: 'polling about every second: DATABASE_DIRECT_URL is not set',
    });
  }
  await exercise(one, two, receiver);
});

test('behind a transaction pooler with a direct URL: notifications arrive', async (t) => {
  if (!isAvailable(t)) return;
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using pooler = await startPgbouncer(command ?? '', db.url);
  const settings = { DATABASE_POOLER: 'transaction', DATABASE_DIRECT_URL: db.url };
  await using one = await startTestApp(pooler.url, settings);
  await using two = await startTestApp(pooler.url, settings);
  for (const app of [one, two]) {
    await eventually('listening', async () => (await wakeUp(app))?.detail === undefined);
  }
  await exercise(one, two, receiver);
  // A connection that listens says only what it asked last, which may be whether it still stands.
  const rows = await sql<[number]>(
    db.database,
    `SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND query IN ('LISTEN belfry', 'SELECT 1')`,
  );
  assert.deepEqual(rows, [[2]]);
});

test('without DATABASE_POOLER the pooler refuses the connection, and the start says why', async (t) => {
  if (!isAvailable(t)) return;
  await using db = await createTestDatabase();
  await using pooler = await startPgbouncer(command ?? '', db.url);
  await assert.rejects(startTestApp(pooler.url), /unsupported startup parameter/);
});
