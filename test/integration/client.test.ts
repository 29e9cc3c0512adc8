import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { BelfryApiError, createClient, type NewTimer } from '../../packages/client/src/index.ts';
import { queryValue } from './embeddedFixture.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';

const database = await createTestDatabase();
const app = await startTestApp(database.url);
const receiver = await startReceiver((res) => res.end('thank you'));
const client = createClient({ url: app.url });

after(async () => {
  await receiver[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

test('a timer is created, delivered, and read back with what was answered', async () => {
  const created = await client.timers.create({
    url: `${receiver.url}/hello`,
    delay: 0.01,
    json: { n: 1 },
    labels: ['a'],
    metadata: { of: 'mine' },
    retry: { max_attempts: 2 },
    timeout: 'PT2S',
  });
  assert.equal(created.status, 'pending');
  const finished = await eventually('it is delivered', async () => {
    const timer = await client.timers.get(created.id);
    return timer.status === 'succeeded' && timer;
  });
  assert.equal(finished.body, '{"n":1}');
  assert.deepEqual([finished.labels, finished.metadata], [['a'], { of: 'mine' }]);
  assert.equal(finished.retry?.max_attempts, 2);
  const [attempt] = await client.timers.attempts(created.id);
  assert.equal(attempt?.status, 200);
  assert.equal(attempt?.response_body, 'thank you');
});

test('one key makes one timer, however often it is sent', async () => {
  const timer: NewTimer = { url: receiver.url, due_at: new Date(Date.now() + 3_600_000) };
  const first = await client.timers.create(timer, { idempotencyKey: 'order-1' });
  const again = await client.timers.create(timer, { idempotencyKey: 'order-1' });
  assert.deepEqual(again, first);
  await assert.rejects(client.timers.create({ url: receiver.url }, { idempotencyKey: 'order-1' }), {
    code: 'idempotency_key_reused',
    status: 422,
  });
});

test('a create whose answer is lost makes one timer', async () => {
  let lost = 0;
  const forgetful = createClient({
    url: app.url,
    async fetch(url, init) {
      const answer = await fetch(url, init);
      if (lost > 0) return answer;
      lost += 1;
      throw new TypeError('the answer was lost');
    },
  });
  const count = () => queryValue(database.url, 'SELECT count(*) FROM belfry.timers');
  const before = Number(await count());
  const { id } = await forgetful.timers.create({ url: receiver.url, hours: 1 });
  assert.equal(lost, 1);
  assert.equal(Number(await count()), before + 1);
  assert.equal((await client.timers.get(id)).status, 'pending');
});

test('a cancel is final, may be repeated, and is too late once delivered', async () => {
  const { id } = await client.timers.create({ url: receiver.url, hours: 1 });
  assert.deepEqual(await client.timers.cancel(id), { id, status: 'cancelled' });
  assert.deepEqual(await client.timers.cancel(id), { id, status: 'cancelled' });
  assert.equal((await client.timers.get(id)).status, 'cancelled');

  const { id: other } = await client.timers.create({ url: receiver.url });
  await eventually('it is delivered', async () => {
    return (await client.timers.get(other)).status === 'succeeded';
  });
  await assert.rejects(client.timers.cancel(other), { code: 'too_late', status: 409 });
});

test('an error has the code, the status and the fields of the service', async () => {
  await assert.rejects(client.timers.get(2 ** 40), { code: 'timer_not_found', status: 404 });
  await assert.rejects(
    client.timers.create({ url: receiver.url, method: 'GET', body: 'x' }),
    (err: unknown) => {
      assert.ok(err instanceof BelfryApiError);
      assert.equal(err.code, 'validation_failed');
      assert.deepEqual(
        err.fields.map(({ field }) => field),
        ['method'],
      );
      return true;
    },
  );
});

test('a batch has a result for each in its place; one refused does not touch the others', async () => {
  const results = await client.timers.batch([
    { url: receiver.url, hours: 1 },
    { url: 'nonsense' },
    { url: receiver.url, hours: 2 },
  ]);
  assert.deepEqual(
    results.map(({ index, status }) => [index, status]),
    [
      [0, 201],
      [1, 400],
      [2, 201],
    ],
  );
  assert.ok(results[1] !== undefined && 'error' in results[1]);
  assert.equal(results[1].error.code, 'validation_failed');
});

test('a line that the service cannot get past costs only itself', async () => {
  const results = await client.timers.batch([
    { url: receiver.url, hours: 1 },
    { url: receiver.url, hours: 1, body: 'x'.repeat(2 * 1024 * 1024) },
    { url: receiver.url, hours: 1 },
  ]);
  assert.deepEqual(
    results.map(({ index, status }) => [index, status]),
    [
      [0, 201],
      [1, 413],
      [2, 201],
    ],
  );
});

test('health and readiness', async () => {
  assert.deepEqual(await client.health(), { status: 'ok' });
  const { ready, checks } = await client.ready();
  assert.equal(ready, true);
  assert.ok(Object.keys(checks).length > 0);
});
