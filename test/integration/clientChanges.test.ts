import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createClient, type BulkProgress } from '../../packages/client/src/index.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';

const database = await createTestDatabase();
const receiver = await startReceiver();
const app = await startTestApp(database.url);
const { timers } = createClient({ url: app.url });
after(async () => {
  await receiver[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

function delivered(id: number) {
  return eventually(`timer ${id} is delivered`, async () => {
    const timer = await timers.get(id);
    return timer.status === 'succeeded' && timer;
  });
}

test('an update changes what it names, for the version that it was meant for', async () => {
  const { id } = await timers.create({ url: receiver.url, hours: 1, labels: ['a'], body: 'x' });
  const { version } = await timers.get(id);
  const updated = await timers.update(id, { hours: 2, labels: null }, { ifMatch: version });
  assert.deepEqual([updated.version, updated.labels, updated.body], [version + 1, [], 'x']);
  await assert.rejects(timers.update(id, { hours: 3 }, { ifMatch: version }), {
    code: 'version_mismatch',
    status: 412,
  });
  assert.equal((await timers.update(id, { body: null }, { ifMatch: '*' })).body, undefined);
});

test('a timer is fired at once, and a finished one goes again when it failed', async () => {
  const { id } = await timers.create({ url: receiver.url, hours: 1 });
  await timers.fire(id);
  await delivered(id);
  await assert.rejects(timers.fire(id), { code: 'too_late' });
  await assert.rejects(timers.retry(id), { code: 'not_retryable', status: 409 });

  const { id: other } = await timers.create({ url: receiver.url, hours: 1 });
  await timers.cancel(other);
  assert.equal((await timers.retry(other, { hours: 1 })).status, 'pending');
  await timers.cancel(other);
  await timers.retry(other);
  await delivered(other);
});

test('all that a filter finds is cancelled, and tried again, after it was counted', async () => {
  const labels = ['bulk'];
  const created = timers.batch(
    Array.from({ length: 30 }, () => ({ url: receiver.url, hours: 1, labels })),
  );
  assert.equal((await created).length, 30);
  const plan = await timers.planCancel({ label: 'bulk' });
  assert.deepEqual([plan.count, plan.is_complete], [30, true]);
  const seen: BulkProgress[] = [];
  const onProgress = (progress: BulkProgress) => seen.push(progress);
  const cancelled = await timers.cancelWhere({ label: 'bulk' }, { token: plan.token, onProgress });
  assert.equal(cancelled.changed, 30);
  assert.equal(seen.at(-1)?.done, true);
  const retried = await timers.retryWhere({ label: 'bulk', status: 'cancelled' }, { onProgress });
  assert.equal(retried.changed, 30);
  await assert.rejects(timers.cancelWhere({}), { code: 'validation_failed' });
});

test('a key names one live timer, which a put replaces', async () => {
  const key = 'order/1 2'.replace(' ', '%');
  const first = await timers.byKey.put(key, { url: receiver.url, hours: 1 });
  assert.equal(first.created, true);
  const second = await timers.byKey.put(key, { url: receiver.url, hours: 2 });
  assert.deepEqual([second.created, second.timer.id], [false, first.timer.id]);
  assert.equal(second.timer.version, first.timer.version + 1);
  assert.equal((await timers.byKey.get(key)).id, first.timer.id);
  assert.equal((await timers.byKey.cancel(key)).id, first.timer.id);
  await assert.rejects(timers.byKey.get(key), { code: 'timer_not_found' });
});

test('a list is walked through over all its pages, newest first', async () => {
  const created = await timers.batch(
    Array.from({ length: 25 }, () => ({ url: receiver.url, hours: 1, labels: ['listed'] })),
  );
  const ids: number[] = [];
  for await (const timer of timers.list({ label: 'listed', limit: 10 })) {
    assert.equal(timer.attempt_count, 0);
    ids.push(timer.id);
  }
  const expected = created.map((result) => ('timer' in result ? result.timer.id : -1));
  assert.deepEqual(
    ids,
    expected.toSorted((a, b) => b - a),
  );
  let found = 0;
  const soonest = timers.list({ label: 'listed', status: ['live'], order: 'soonest', limit: 10 });
  for await (const page of soonest.pages()) found += page.timers.length;
  assert.equal(found, 25);
  await assert.rejects(
    timers.list({ label: 'other', cursor: 'nonsense' }).pages()[Symbol.asyncIterator]().next(),
    {
      code: 'validation_failed',
    },
  );
});
