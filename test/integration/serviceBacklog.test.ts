import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { metric } from '../support/metrics.ts';
import { startReceiver } from '../support/receiver.ts';
import { insertMany } from '../support/storedTimers.ts';

const idOf = (path: string) => Number(path.split('/').at(-1));

test('timers that were due while nobody ran go out at the start, in the order they were due', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await insertMany(db.database, {
    count: 200,
    dueInMs: '-60000 + (n * 71) % 211',
    url: receiver.url,
  });
  await using _app = await startTestApp(db.url, { DESTINATION_CONCURRENCY: '1' });
  await receiver.arrived(200);
  const expected = Array.from({ length: 200 }, (_, index) => index + 1).toSorted(
    (a, b) => ((a * 71) % 211) - ((b * 71) % 211),
  );
  assert.deepEqual(
    receiver.arrivals.map(({ path }) => idOf(path)),
    expected,
  );
});

test('CATCH_UP_RATE bounds how fast overdue timers are taken up, and does not delay the punctual', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await insertMany(db.database, {
    count: 120,
    dueInMs: '-60000 - n',
    url: `${receiver.url}/overdue`,
  });
  const perSecond = 40;
  const startedAtMs = Date.now();
  await using app = await startTestApp(db.url, { CATCH_UP_RATE: String(perSecond) });
  const punctual = await Promise.all(
    Array.from({ length: 30 }, (_, index) =>
      app.post({ url: `${receiver.url}/punctual`, delay: 0.2 + index / 20 }),
    ),
  );
  await receiver.arrived(150);
  const overdue = receiver.arrivals.filter(({ path }) => path.startsWith('/overdue'));
  assert.equal(overdue.length, 120);
  for (const [index, { atMs }] of overdue.entries()) {
    const allowed = perSecond / 4 + ((atMs - startedAtMs) / 1_000) * perSecond;
    assert.ok(index + 1 <= allowed + 1, `${index + 1} after ${atMs - startedAtMs} ms`);
  }
  for (const { body } of punctual) {
    const arrival = receiver.arrivals.find(
      ({ path }) => path === `/punctual/${String(body['id'])}`,
    );
    const lateMs = (arrival?.atMs ?? Infinity) - Date.parse(String(body['due_at']));
    assert.ok(lateMs >= 0 && lateMs < 1_000, `a punctual timer was ${lateMs} ms late`);
  }
});

test('never more than HELD_TIMERS_MAX timers are held, however many are due', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url, { HELD_TIMERS_MAX: '1000' });
  await insertMany(db.database, { count: 5_000, dueInMs: '700', url: receiver.url });
  let most = 0;
  await eventually(
    'all are called',
    async () => {
      most = Math.max(most, await metric(app.url, 'belfry_timers_held'));
      return receiver.arrivals.length >= 5_000;
    },
    60_000,
  );
  assert.ok(most > 100 && most <= 1_000, `${most} were held at once`);
  await eventually('all are recorded', async () => {
    const [row] = await sql<[number]>(db.database, 'SELECT count(*) FROM belfry.history');
    return row?.[0] === 5_000;
  });
  assert.equal(new Set(receiver.arrivals.map(({ path }) => path)).size, 5_000);
  assert.equal(receiver.arrivals.length, 5_000);
  assert.equal(await metric(app.url, 'belfry_timers_held'), 0);
});

test('a destination that hangs does not delay the timers of another', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url, {
    DESTINATION_CONCURRENCY: '10',
    CONCURRENCY: '40',
    WEBHOOK_TIMEOUT: '1',
    RETRY_MAX_ATTEMPTS: '1',
  });
  // Ends first, and with it the attempts that it holds.
  await using hanging = await startReceiver(() => undefined);
  await Promise.all(Array.from({ length: 300 }, () => app.post({ url: hanging.url, delay: 0.1 })));
  await hanging.arrived(10);
  const created = await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      app.post({ url: receiver.url, delay: 0.3 + index / 500 }),
    ),
  );
  await receiver.arrived(200);
  const lateness = created
    .map(({ body }) => {
      const arrival = receiver.arrivals.find(({ path }) => idOf(path) === body['id']);
      return (arrival?.atMs ?? Infinity) - Date.parse(String(body['due_at']));
    })
    .toSorted((a, b) => a - b);
  assert.ok((lateness[0] ?? -1) >= 0);
  assert.ok((lateness[199] ?? Infinity) < 900, `the last was ${lateness[199]} ms late`);
  assert.ok(hanging.arrivals.length < 100, 'the hanging one was held to its share');
});
