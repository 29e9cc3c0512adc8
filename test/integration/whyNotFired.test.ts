import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { createClient } from '../../packages/client/src/index.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { setDestination, switchDestination } from '../support/destinationSettings.ts';
import { eventually } from '../support/eventually.ts';
import { request } from '../support/http.ts';
import { openBreaker } from '../support/openBreaker.ts';
import { startReceiver } from '../support/receiver.ts';
import { insertMany } from '../support/storedTimers.ts';

async function create(app: TestApp, wish: object): Promise<number> {
  const { status, body } = await app.post(wish);
  assert.equal(status, 201, JSON.stringify(body));
  return Number(body['id']);
}

const why = (app: TestApp, id: number) => createClient({ url: app.url }).timers.why(id);

/** What keeps it, once that is this. */
const whyOnce = (app: TestApp, id: number, code: string) =>
  eventually(`timer ${id}: ${code}`, async () => {
    const explanation = await why(app, id);
    return explanation.blocker.code === code && explanation;
  });

test('one that is not due, one that waits for its retry, one under way, one that is over, one that is not', async () => {
  await using db = await createTestDatabase();
  const held: ServerResponse[] = [];
  await using receiver = await startReceiver((res, { path }) => {
    if (path.startsWith('/hold')) held.push(res);
    else res.writeHead(path.startsWith('/broken') ? 500 : 200).end();
  });
  await using app = await startTestApp(db.url, { RETRY_BASE: '600' });
  const { url } = receiver;

  const later = await create(app, { url, delay: 'PT1H' });
  const notDue = await why(app, later);
  const { body } = await app.get(`/timers/${later}`);
  assert.deepEqual(
    [notDue.status, notDue.blocker.code, notDue.expected_at, notDue.also],
    ['pending', 'not_due', body['due_at'], []],
  );
  assert.equal(notDue.blocker.until, body['due_at']);

  const broken = await create(app, { url: `${url}/broken` });
  const retry = await whyOnce(app, broken, 'retry_wait');
  assert.deepEqual([retry.blocker.attempt, retry.blocker.error_code], [1, 'http_status']);
  assert.equal(retry.expected_at, (await app.get(`/timers/${broken}`)).body['next_attempt_at']);

  const slow = await create(app, { url: `${url}/hold` });
  const underWay = await whyOnce(app, slow, 'in_flight');
  assert.deepEqual([underWay.status, underWay.blocker.attempt], ['delivering', 1]);
  for (const res of held) res.end();

  const over = await whyOnce(app, slow, 'ended');
  assert.deepEqual([over.status, over.expected_at], ['succeeded', null]);
  await app.cancel(later);
  assert.match((await why(app, later)).blocker.message, /cancelled/);

  const unknown = await request(`${app.url}/timers/999/why`);
  assert.deepEqual([unknown.status, unknown.body['code']], [404, 'timer_not_found']);
});

test('a pause of the destination, its breaker, and one that is disabled', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url);
  const { url } = receiver;
  await setDestination(app, url, { timeout: 5 });
  await switchDestination(app, url, 'pause');
  const id = await create(app, { url });
  const paused = await whyOnce(app, id, 'destination_paused');
  assert.deepEqual([paused.blocker.destination, paused.expected_at], [url, null]);
  await switchDestination(app, url, 'resume');
  await whyOnce(app, id, 'ended');

  const failing = await startReceiver();
  await failing[Symbol.asyncDispose]();
  await openBreaker(db, 1, failing.url);
  const left = await create(app, { url: failing.url, delay: 3 });
  const soon = await why(app, left);
  assert.deepEqual([soon.blocker.code, soon.also[0]?.code], ['not_due', 'breaker']);
  const broken = await whyOnce(app, left, 'breaker');
  assert.equal(broken.blocker.breaker, 'failing');
  assert.ok(Date.parse(broken.expected_at ?? '') > Date.parse(broken.now) + 3_600_000);
  await sql(
    db.database,
    `UPDATE belfry.lanes SET closed_reason = 'disabled', next_release_at = 'infinity' WHERE target = $1`,
    [failing.url],
  );
  const disabled = await whyOnce(app, left, 'destination_disabled');
  assert.deepEqual([disabled.blocker.breaker, disabled.expected_at], ['disabled', null]);
});

test('a rate says how many are before it, and when its turn comes; a concurrency says how many', async () => {
  await using db = await createTestDatabase();
  const held: ServerResponse[] = [];
  await using receiver = await startReceiver((res, { path }) => {
    if (path.startsWith('/hold')) held.push(res);
    else res.end();
  });
  await using busy = await startReceiver((res) => void held.push(res));
  await using app = await startTestApp(db.url, { WEBHOOK_TIMEOUT: '60' });
  await setDestination(app, receiver.url, { rate: { count: 1, per: 'minute' } });
  await setDestination(app, busy.url, { concurrency: 1 });
  for (let index = 0; index < 4; index++) {
    await create(app, { url: receiver.url });
    await create(app, { url: `${busy.url}/hold` });
  }
  const [last = 0] = (
    await eventually('all but one wait in each lane', async () => {
      const rows = await sql<[number, string]>(
        db.database,
        'SELECT id, url FROM belfry.timers WHERE parked_lane IS NOT NULL ORDER BY next_at DESC, id DESC',
      );
      return rows.length >= 6 && rows;
    })
  ).flatMap(([id, url]) => (url === receiver.url ? [id] : []));
  const limited = await whyOnce(app, last, 'rate');
  assert.equal(limited.blocker.limit, 1 / 60);
  assert.ok((limited.blocker.ahead ?? 0) >= 1);
  const waitsMs = Date.parse(limited.expected_at ?? '') - Date.parse(limited.now);
  assert.ok(Math.abs(waitsMs - 60_000 * ((limited.blocker.ahead ?? 0) + 1)) < 5, `${waitsMs} ms`);
  const [row] = await sql<[number]>(
    db.database,
    'SELECT id FROM belfry.timers WHERE parked_lane IS NOT NULL AND url LIKE $1 ORDER BY next_at DESC LIMIT 1',
    [`${busy.url}%`],
  );
  const queued = await whyOnce(app, row?.[0] ?? 0, 'concurrency');
  assert.deepEqual([queued.blocker.limit, queued.expected_at], [1, null]);
  for (const res of held) res.end();
});

test('a crowd at a slow receiver is told as such', async () => {
  await using db = await createTestDatabase();
  const held: ServerResponse[] = [];
  await using receiver = await startReceiver((res) => void held.push(res));
  await insertMany(db.database, { count: 300, dueInMs: '-n', url: receiver.url });
  await using app = await startTestApp(db.url, {
    DESTINATION_CONCURRENCY: '2',
    WEBHOOK_TIMEOUT: '60',
    BREAKER_FAILURES: '0',
  });
  const [waiting] = await eventually('some wait in the lane', async () => {
    const rows = await sql<[number]>(
      db.database,
      'SELECT id FROM belfry.timers WHERE parked_lane IS NOT NULL ORDER BY next_at LIMIT 1',
    );
    return rows.length > 0 && rows;
  });
  const crowded = await why(app, waiting?.[0] ?? 0);
  assert.deepEqual([crowded.blocker.code, crowded.expected_at], ['destination_busy', null]);
  for (const res of held) res.end();
});

test('a paused project and one that lets go what has gathered; a project sees its own timers only', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url);
  await sql(db.database, `INSERT INTO belfry.projects (id, name) VALUES (2, 'other')`);
  await insertMany(db.database, { count: 1, dueInMs: '3600000', url: receiver.url, projectId: 2 });
  const [foreign] = await sql<[number]>(db.database, 'SELECT id FROM belfry.timers');
  const { status } = await request(`${app.url}/timers/${foreign?.[0]}/why`);
  assert.equal(status, 404);

  const paused = await request(`${app.url}/projects/1/pause`, { method: 'POST' });
  assert.equal(paused.status, 200, paused.text);
  const id = await create(app, { url: receiver.url });
  const { blocker, expected_at: expectedAt } = await whyOnce(app, id, 'project_paused');
  assert.ok(typeof blocker.since === 'string' && expectedAt === null);
  await sql(
    db.database,
    `UPDATE belfry.lanes SET state = 'draining', next_release_at = now() + interval '1 hour' WHERE kind = 'project'`,
  );
  const draining = await whyOnce(app, id, 'project_draining');
  assert.equal(draining.expected_at, draining.now);
});

test('a process that has died holds it until another takes over; without any, that is said', async () => {
  await using db = await createTestDatabase();
  await using app = await startTestApp(db.url, { ROLES: 'api' });
  await insertMany(db.database, { count: 2, dueInMs: '-1000' });
  assert.equal((await why(app, 1)).blocker.code, 'no_process');
  await sql(
    db.database,
    `INSERT INTO belfry.processes (id, expires_at, host, pid)
     VALUES (7, now() + interval '1 hour', 'a', 1), (8, now() - interval '1 second', 'b', 1)`,
  );
  assert.equal((await why(app, 1)).blocker.code, 'claiming');
  await sql(db.database, 'UPDATE belfry.timers SET owner = 8, claim = 1 WHERE id = 1');
  await sql(db.database, 'UPDATE belfry.timers SET owner = 7, claim = 1 WHERE id = 2');
  const dead = await why(app, 1);
  assert.deepEqual([dead.blocker.code, dead.blocker.held_by], ['lease', 8]);
  assert.ok(Date.parse(dead.expected_at ?? '') >= Date.parse(dead.now));
  const alive = await why(app, 2);
  assert.deepEqual([alive.blocker.code, alive.blocker.held_by], ['in_flight', 7]);
});
