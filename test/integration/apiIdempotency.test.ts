import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createIdempotencyKeyStore } from '../../src/store/idempotencyKeys.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, post, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';
import { createTimerClient, inParallel } from '../support/timerClient.ts';

const db = await createTestDatabase();
const receiver = await startReceiver();
// Two processes, as far as the database can tell.
const app = await startTestApp(db.url, { IDEMPOTENCY_WINDOW: '3600' });
const other = await startTestApp(db.url, { IDEMPOTENCY_WINDOW: '3600' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
const url = `${receiver.url}/x`;

const underKey = (key: string, body: unknown, at = app) =>
  post(at.url, body, { 'idempotency-key': key });

async function timersInAll(): Promise<number> {
  const [row] = await sql<[number]>(
    db.database,
    'SELECT (SELECT count(*) FROM belfry.timers) + (SELECT count(*) FROM belfry.history)',
  );
  return Number(row?.[0]);
}

test('the same request under the same key gets the first answer again, to the letter, and is marked', async () => {
  const before = await timersInAll();
  const body = { url, delay: 99, expires_after: 7, labels: ['a'], json: { a: 1, b: [2] } };
  const first = await underKey('order-17', body);
  assert.equal(first.status, 201);
  assert.equal(first.headers.get('idempotent-replayed'), undefined);
  for (const at of [app, other]) {
    const again = await underKey('order-17', body, at);
    assert.equal(again.status, 201);
    assert.equal(again.text, first.text);
    assert.equal(again.headers.get('location'), first.headers.get('location'));
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
  }
  assert.equal(await timersInAll(), before + 1);
});

test('the order of fields and quotes around the key make no difference', async () => {
  const first = await underKey('order-18', { url, delay: 99, json: { a: 1, b: { c: 2, d: 3 } } });
  const text = `{"json": {"b": {"d": 3, "c": 2}, "a": 1}, "delay": 99.0, "url": "${url}"}`;
  const again = await request(`${app.url}/timers`, {
    method: 'POST',
    body: text,
    headers: { 'idempotency-key': '"order-18"' },
  });
  assert.equal(again.text, first.text);
});

test('another request under the same key is a 422 that names the first timer, and creates nothing', async () => {
  const first = await underKey('order-19', { url, delay: 99 });
  const before = await timersInAll();
  for (const at of [app, other]) {
    const answer = await underKey('order-19', { url, delay: 98 }, at);
    assertProblem(answer, { status: 422, code: 'idempotency_key_reused' });
    assert.ok(String(answer.body['detail']).includes(String(first.body['id'])), answer.text);
  }
  assert.equal(await timersInAll(), before);
});

test('a request that was refused does not use its key up', async () => {
  assertProblem(await underKey('order-20', { url, delay: 'x' }), { status: 400, field: 'delay' });
  assert.equal((await underKey('order-20', { url, delay: 99 })).status, 201);
});

test('a key outlives its timer', async () => {
  const fired = await underKey('fired', { url, delay: 0.01 });
  const cancelled = await underKey('cancelled', { url, delay: 99 });
  assert.equal((await app.cancel(cancelled.body['id'])).status, 200);
  await eventually('it has fired', async () => {
    const { body } = await app.get(`/timers/${String(fired.body['id'])}`);
    return body['status'] === 'succeeded';
  });
  assert.equal((await underKey('fired', { url, delay: 0.01 })).text, fired.text);
  assert.equal((await underKey('cancelled', { url, delay: 99 })).text, cancelled.text);
});

test('a key is free again once its window is over, also for another request', async () => {
  const first = await underKey('old', { url, delay: 99 });
  const aged = (minutes: number) =>
    sql(
      db.database,
      `UPDATE belfry.idempotency_keys SET created_at = now() - $1 * interval '1 minute'
       WHERE key = 'old'`,
      [minutes],
    );
  await aged(59);
  assert.equal((await underKey('old', { url, delay: 99 })).body['id'], first.body['id']);
  await aged(60.1);
  const second = await underKey('old', { url, delay: 50 });
  assert.equal(second.status, 201);
  assert.notEqual(second.body['id'], first.body['id']);
  assert.equal((await underKey('old', { url, delay: 50 })).text, second.text);
});

test('keys are forgotten a minute after their window, not before', async () => {
  const keys = createIdempotencyKeyStore(db.database);
  await sql(
    db.database,
    `INSERT INTO belfry.idempotency_keys
     SELECT 1, 'forget-' || n, '', n, now(), now() - n * interval '1 second'
     FROM generate_series(1, 12000) AS n`,
  );
  await keys.forget(3_600_000);
  const left = await sql<[number, number]>(
    db.database,
    `SELECT count(*), max(timer_id) FROM belfry.idempotency_keys WHERE key LIKE 'forget-%'`,
  );
  const [count, oldest] = left[0] ?? [];
  assert.equal(count, oldest);
  assert.ok(Number(oldest) >= 3_600 && Number(oldest) <= 3_661, `the oldest is ${oldest} s old`);
});

test('a key that is none is a 400 that names the header', async () => {
  for (const key of ['', 'a b', '""', 'a'.repeat(256), '\u00e9']) {
    const answer = await underKey(key, { url, delay: 99 });
    assertProblem(answer, { status: 400, field: 'Idempotency-Key' }, JSON.stringify(key));
  }
  assert.equal((await underKey('a'.repeat(255), { url, delay: 99 })).status, 201);
});

test('50 creates at once under each of 1,000 keys, over two processes, are 1,000 timers', async () => {
  const before = await timersInAll();
  const clients = [createTimerClient(app.url), createTimerClient(other.url)] as const;
  const idsByKey = new Map<string, Set<number>>();
  let replays = 0;
  await inParallel(50_000, 120, async (index) => {
    // Neighbours share a key, so that the same one is asked for in one flush, in two, and in both processes.
    const key = `crowd-${Math.floor(index / 50)}`;
    const client = index % 2 === 0 ? clients[0] : clients[1];
    const answer = await client.create({ url, delay: 9_999 }, { 'idempotency-key': key });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    if (answer.headers['idempotent-replayed'] === 'true') replays += 1;
    const ids = idsByKey.get(key) ?? new Set();
    idsByKey.set(key, ids.add(Number(answer.body['id'])));
  });
  await Promise.all(clients.map((client) => client.close()));
  assert.equal(idsByKey.size, 1_000);
  assert.ok([...idsByKey.values()].every((ids) => ids.size === 1));
  assert.equal(replays, 49_000);
  assert.equal(await timersInAll(), before + 1_000);
});

test('keyed timers that are due at once fire once each', async () => {
  const bodies = Array.from({ length: 200 }, (_, index) => ({
    url: `${url}/near`,
    delay: 0.2,
    metadata: index,
  }));
  const ids = new Set<number>();
  await Promise.all(
    bodies.flatMap((body, index) =>
      [app, other, app].map(async (at) => {
        const answer = await underKey(`near-${index}`, body, at);
        ids.add(Number(answer.body['id']));
      }),
    ),
  );
  assert.equal(ids.size, 200);
  const paths = () =>
    receiver.arrivals.map(({ path }) => path).filter((path) => path.includes('/near/'));
  await eventually('all have fired', () => paths().length >= 200);
  for (const id of ids) {
    await eventually('it is recorded', async () => {
      const { body } = await app.get(`/timers/${id}`);
      return body['status'] === 'succeeded';
    });
  }
  assert.equal(new Set(paths()).size, 200);
  assert.equal(paths().length, 200);
});
