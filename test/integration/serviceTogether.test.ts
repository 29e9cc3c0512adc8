import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, openDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { metric } from '../support/metrics.ts';
import { startReceiver } from '../support/receiver.ts';

const idOf = (path: string) => Number(path.split('/').at(-1));

test('a graceful stop lets attempts under way end, and gives back what has not started', async () => {
  await using db = await createTestDatabase();
  const held: ServerResponse[] = [];
  await using receiver = await startReceiver((res) => held.push(res));
  await using app = await startTestApp(db.url);
  const underWay = await app.post({ url: receiver.url });
  await receiver.arrived(1);
  const waiting = await Promise.all(
    Array.from({ length: 50 }, () => app.post({ url: receiver.url, delay: 1.8 })),
  );
  const owned = async () =>
    (
      await sql<[number]>(db.database, 'SELECT count(*) FROM belfry.timers WHERE owner IS NOT NULL')
    )[0]?.[0];
  assert.equal(await owned(), 51);
  const stopping = app.app.stop();
  await eventually('the API has closed', () =>
    app.get('/health').then(
      () => false,
      () => true,
    ),
  );
  held[0]?.end();
  await Promise.all([stopping, app.app.stop()]);
  assert.equal(await owned(), 0);
  const rows = await sql<[number, number, number]>(
    db.database,
    `SELECT count(*), sum(attempts), count(claim) FROM belfry.timers`,
  );
  assert.deepEqual(
    rows.map((row) => row.map(Number)),
    [[50, 0, 0]],
  );
  assert.deepEqual(await sql(db.database, 'SELECT id, status FROM belfry.history'), [
    [underWay.body['id'], 'succeeded'],
  ]);
  assert.deepEqual(await sql(db.database, 'SELECT dead FROM belfry.processes'), [[true]]);
  await using _next = await startTestApp(db.url);
  for (const res of held) res.end();
  await eventually('the rest is called by the next process', () => {
    for (const res of held) res.end();
    return receiver.arrivals.length === 51;
  });
  const ids = new Set(receiver.arrivals.map(({ path }) => idOf(path)));
  assert.ok(waiting.every(({ body }) => ids.has(Number(body['id']))));
});

test('two processes on one database: every timer is delivered once, whoever took the request', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using one = await startTestApp(db.url, { LOOK_AHEAD: '0.2' });
  await using two = await startTestApp(db.url, { LOOK_AHEAD: '0.2' });
  const apps = [one, two];
  const created = await Promise.all(
    Array.from({ length: 600 }, (_, index) =>
      (apps[index % 2] ?? one).post({ url: receiver.url, delay: (index % 150) / 75 }),
    ),
  );
  assert.ok(created.every(({ status }) => status === 201));
  await receiver.arrived(600);
  await eventually('all are recorded', async () => {
    const rows = await sql(db.database, 'SELECT status, count(*) FROM belfry.history GROUP BY 1');
    return rows.length === 1 && rows[0]?.[1] === 600;
  });
  assert.equal(receiver.arrivals.length, 600);
  assert.equal(new Set(receiver.arrivals.map(({ path }) => idOf(path))).size, 600);
  const attempts = await Promise.all(apps.map(({ url }) => metric(url, 'belfry_attempts_total')));
  assert.equal((attempts[0] ?? 0) + (attempts[1] ?? 0), 600);
  assert.ok(
    attempts.every((count) => count > 0),
    `shared as ${attempts.join(' and ')}`,
  );
});

test('a near timer that an API-only process took is called on time by another', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using _scheduler = await startTestApp(db.url);
  await using api = await startTestApp(db.url, { ROLES: 'api' });
  const created = await Promise.all(
    Array.from({ length: 20 }, (_, index) => api.post({ url: receiver.url, delay: index / 40 })),
  );
  await receiver.arrived(20);
  for (const { body } of created) {
    const arrival = receiver.arrivals.find(({ path }) => idOf(path) === body['id']);
    const lateMs = (arrival?.atMs ?? Infinity) - Date.parse(String(body['due_at']));
    assert.ok(lateMs >= 0 && lateMs < 240, `${lateMs} ms late: no wake-up between processes`);
  }
});

test('a cancel at another process than the owner, 200 ms or more before due, is final', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using one = await startTestApp(db.url);
  await using two = await startTestApp(db.url);
  for (const app of [one, two]) {
    await eventually('listening', async () => {
      const { body } = await app.get('/ready');
      return !JSON.stringify(body).includes('polling');
    });
  }
  const created = await Promise.all(
    Array.from({ length: 60 }, () => one.post({ url: receiver.url, delay: 3 })),
  );
  const answers = await Promise.all(
    created.map(async ({ body }) => {
      const aheadMs = Date.parse(String(body['due_at'])) - Date.now();
      return { ...(await two.cancel(body['id'])), aheadMs };
    }),
  );
  const marker = await one.post({ url: receiver.url, delay: 3.2 });
  await eventually('what was due before the marker has been called', () =>
    receiver.arrivals.some(({ path }) => idOf(path) === marker.body['id']),
  );
  const called = new Set(receiver.arrivals.map(({ path }) => idOf(path)));
  for (const [index, { status, body }] of answers.entries()) {
    const id = Number(created[index]?.body['id']);
    assert.ok([200, 409, 503].includes(status), JSON.stringify(body));
    if (status !== 200) continue;
    assert.ok(!called.has(id), `timer ${id} was called although its cancel was answered 200`);
    assert.equal((await one.get(`/timers/${id}`)).body['status'], 'cancelled');
  }
  const inTime = answers.filter(({ aheadMs }) => aheadMs >= 200);
  assert.ok(inTime.length > 0, 'none was asked for in time');
  const refused = inTime.filter(({ status }) => status !== 200);
  assert.ok(
    refused.length <= inTime.length / 20,
    `${refused.length} of ${inTime.length} were refused: ${JSON.stringify(refused[0])}`,
  );
});

test('connections that are ended again and again under load lose nothing, and no answer is a 500', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url, { LOOK_AHEAD: '0.3' });
  const admin = openDatabase(db.url);
  const acknowledged: number[] = [];
  const statuses = new Map<number, number>();
  let loading = true;

  async function load(): Promise<void> {
    while (loading) {
      const { status, body } = await app.post({ url: receiver.url, delay: Math.random() });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status === 201) acknowledged.push(Number(body['id']));
      else assert.ok(['store_unavailable', 'commit_unknown'].includes(String(body['code'])));
      const read = await app.get(`/timers/${acknowledged.at(-1) ?? 1}`);
      statuses.set(read.status, (statuses.get(read.status) ?? 0) + 1);
    }
  }
  try {
    const loads = Array.from({ length: 4 }, load);
    for (let round = 0; round < 12; round++) {
      const seen = acknowledged.length;
      await eventually('it goes on', () => acknowledged.length > seen + 10);
      await sql(
        admin,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'belfry'
           AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
      );
    }
    loading = false;
    await Promise.all(loads);
  } finally {
    loading = false;
    await admin.close();
  }
  assert.ok(
    [...statuses.keys()].every((status) => [200, 201, 404, 503].includes(status)),
    JSON.stringify([...statuses]),
  );
  await eventually('every acknowledged timer has succeeded', async () => {
    const [row] = await sql<[number]>(
      db.database,
      `SELECT count(DISTINCT id) FROM belfry.history WHERE status = 'succeeded' AND id = ANY($1::bigint[])`,
      [acknowledged],
    );
    return row?.[0] === acknowledged.length;
  });
  const called = new Set(receiver.arrivals.map(({ path }) => idOf(path)));
  assert.ok(acknowledged.every((id) => called.has(id)));
  assert.deepEqual(
    await sql(db.database, 'SELECT id FROM belfry.history GROUP BY id HAVING count(*) > 1'),
    [],
  );
  // No process died and no lease was lost: so nothing was delivered twice either.
  assert.equal(receiver.arrivals.length, called.size);
});
