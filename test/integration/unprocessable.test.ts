import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { metric } from '../support/metrics.ts';
import { startReceiver } from '../support/receiver.ts';
import { secretKeysText } from '../support/secretKeys.ts';
import { insertMany, storedAs } from '../support/storedTimers.ts';

const quickRetries = { RETRY_BASE: '0.05', RETRY_FACTOR: '1', RETRY_MAX_ATTEMPTS: '5' };

const finished = (app: TestApp, id: number) =>
  eventually(`timer ${id} is finished`, async () => {
    const { body } = await app.get(`/timers/${id}`);
    return body['finished_at'] === null ? undefined : body;
  });

const codesOf = (body: Record<string, unknown>) =>
  (body['attempts'] as { error_code: string | null }[]).map(({ error_code: code }) => code);

test('timers that are not as they were written end after three tries, and spoil none of their batch', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  const { database } = db;
  const corrupted = [
    [`retry = '{"attemptsMax": "many"}'`, 'retry'],
    [`retry = '[]'`, 'retry'],
    [
      `retry = jsonb_build_object('attemptsMax', 3, 'baseMs', 1, 'factor', 1, 'capMs', 1, 'jitter', 0,
         'ageMaxMs', NULL, 'on', '[{}]'::jsonb)`,
      'retry',
    ],
    [`headers = '[1, 2]'`, 'headers'],
    [`headers = '{"x-a": 5}'`, 'headers'],
    [`headers = '{"x-a": {"opened": "no"}}'`, 'headers'],
    [`method = 'BREW'`, 'method'],
    [`timeout_ms = -5`, 'timeout'],
  ] as const;
  const infinite = 54;
  await insertMany(database, { count: 60, dueInMs: '-n', url: receiver.url });
  for (const [index, [change]] of corrupted.entries()) {
    await sql(database, `UPDATE belfry.timers SET ${change} WHERE id = $1`, [5 * (index + 1)]);
  }
  // These say something, if nothing that the API would write: never too late.
  await sql(database, `UPDATE belfry.timers SET expires_at = 'infinity' WHERE id = 51`);
  await sql(database, `UPDATE belfry.timers SET next_at = '-infinity' WHERE id = ${infinite}`);
  await sql(database, `UPDATE belfry.timers SET url = 'nowhere' WHERE id = 53`);
  await using app = await startTestApp(db.url, quickRetries);
  await receiver.arrived(60 - corrupted.length - 1);
  for (const [index, [change, field]] of corrupted.entries()) {
    const body = await finished(app, 5 * (index + 1));
    assert.deepEqual(
      [body['status'], body['failure_code'], codesOf(body)],
      ['failed', 'unprocessable', Array.from({ length: 3 }, () => 'unprocessable')],
      change,
    );
    assert.match(String(body['defect']), new RegExp(`^${field} (is|are) `));
  }
  const { history } = await eventually('the one without an instant gets one', async () => {
    const stored = await storedAs(database, infinite);
    return stored.history.length === 1 && stored;
  });
  assert.deepEqual([history[0]?.['status'], history[0]?.['attempts']], ['succeeded', 2]);
  const nowhere = await finished(app, 53);
  assert.deepEqual(
    [nowhere['failure_code'], codesOf(nowhere)[0]],
    ['attempts_exhausted', 'request_invalid'],
  );
  const listed = await app.get('/timers?status=failed');
  const timers = listed.body['timers'] as { defect?: string }[];
  assert.equal(timers.length, corrupted.length + 1);
  assert.equal(timers.filter(({ defect }) => defect !== undefined).length, corrupted.length);
  assert.equal('defect' in nowhere, false);
  assert.equal(receiver.arrivals.length, 60 - corrupted.length - 1, 'each once');
  const failed = await metric(app.url, 'belfry_unprocessable_total');
  assert.equal(failed, 3 * corrupted.length + 1);
});

test('timers of years that no calendar of JSON has are sent, and hold up nobody', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  // More than a step of the sweep takes: it goes on behind them.
  const years = 1_200;
  await insertMany(db.database, { count: years, dueInMs: '-n', url: `${receiver.url}/old` });
  const ancient = `make_date(-(1 + id % 4000)::integer, 3, 1)::timestamptz`;
  await sql(db.database, `UPDATE belfry.timers SET next_at = ${ancient}, due_at = ${ancient}`);
  await insertMany(db.database, { count: 20, dueInMs: '-n', url: `${receiver.url}/good` });
  await using app = await startTestApp(db.url);
  await receiver.arrived(years + 20);
  const good = receiver.arrivals.filter(({ path }) => path.startsWith('/good'));
  assert.equal(new Set(good.map(({ path }) => path)).size, 20);
  assert.equal((await app.get('/timers?due_before=2000-01-01T00:00:00Z')).status, 200);
});

test('timers whose instants no calendar has are shown with the others, and can be cancelled', async () => {
  await using db = await createTestDatabase();
  await using app = await startTestApp(db.url);
  const instants = [
    ['infinity', '9999-12-31T23:59:59.999Z'],
    ['12000-01-01 00:00:00+00', '9999-12-31T23:59:59.999Z'],
    ['290000-01-01 00:00:00+00', '9999-12-31T23:59:59.999Z'],
  ] as const;
  await insertMany(db.database, { count: 4, dueInMs: '3600000' });
  for (const [index, [instant]] of instants.entries()) {
    await sql(
      db.database,
      'UPDATE belfry.timers SET next_at = $1, due_at = $1, expires_at = $1 WHERE id = $2',
      [instant, index + 1],
    );
  }
  await sql(db.database, `UPDATE belfry.timers SET created_at = '0100-05-06 BC' WHERE id = 4`);
  for (const [index, [, shown]] of instants.entries()) {
    const { status, body } = await app.get(`/timers/${index + 1}`);
    const { due_at: due, next_attempt_at: next, expires_at: expires, time_left: left } = body;
    assert.deepEqual([status, due, next, expires], [200, shown, shown, shown]);
    assert.ok(Number(left) > 1e11 && Number.isFinite(left), String(left));
  }
  assert.equal((await app.get('/timers/4')).body['created_at'], '0000-01-01T00:00:00.000Z');
  for (const order of ['newest', 'soonest']) {
    const { status, body } = await app.get(`/timers?order=${order}&status=pending`);
    assert.deepEqual([status, (body['timers'] as unknown[]).length], [200, 4], order);
  }
  assert.equal((await app.get('/timers/1/why')).status, 200);
  assert.equal((await app.cancel(1)).status, 200);
});

test('a secret that no key decrypts is tried by the policy, ends the timer by its reason, and goes out once it can be', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  const create = async (app: TestApp, retry: object) => {
    const headers = { authorization: 'Bearer s3cret' };
    const { body } = await app.post({ url: receiver.url, headers, retry, delay: 3 });
    return Number(body['id']);
  };
  let ends = 0;
  let lives = 0;
  {
    await using app = await startTestApp(db.url, { SECRET_KEYS: secretKeysText('here') });
    ends = await create(app, { max_attempts: 2, base: 0.05 });
    lives = await create(app, { max_attempts: 20, base: 0.5, factor: 1 });
  }
  // As if the record had been damaged, and mended later.
  const [kept] = await sql<[object]>(
    db.database,
    `SELECT headers FROM belfry.timers WHERE id = $1`,
    [lives],
  );
  await sql(
    db.database,
    `UPDATE belfry.timers SET headers = jsonb_set(headers, '{authorization,sealed}', '"here.AAAA"')`,
  );
  await using app = await startTestApp(db.url, { SECRET_KEYS: secretKeysText('here') });
  const ended = await finished(app, ends);
  assert.deepEqual(
    [ended['failure_code'], codesOf(ended)],
    ['unprocessable', ['secret_unreadable', 'secret_unreadable']],
  );
  await eventually('the other one was tried', async () => {
    return codesOf((await app.get(`/timers/${lives}`)).body).length > 0;
  });
  assert.equal(receiver.arrivals.length, 0);
  await sql(db.database, 'UPDATE belfry.timers SET headers = $1 WHERE id = $2', [
    JSON.stringify(kept?.[0]),
    lives,
  ]);
  assert.equal((await finished(app, lives))['status'], 'succeeded');
  assert.equal(receiver.arrivals[0]?.headers['authorization'], 'Bearer s3cret');
});

test('an outcome that the database refuses is set aside, sent once, and the others are recorded', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  const { database } = db;
  // What is wrong with a row shows only where it is to go.
  await sql(database, `ALTER TABLE belfry.history ADD CHECK (url NOT LIKE '%poison%')`);
  await insertMany(database, { count: 20, dueInMs: '-n', url: receiver.url });
  await sql(database, `UPDATE belfry.timers SET url = url || '/poison' WHERE id = 7`);
  await using app = await startTestApp(db.url, quickRetries);
  await receiver.arrived(20);
  for (let id = 1; id <= 20; id++) {
    if (id !== 7) assert.equal((await finished(app, id))['status'], 'succeeded');
  }
  const { hot, attempts } = await eventually('it is set aside', async () => {
    const stored = await storedAs(database, 7);
    return stored.attempts.length === 1 && stored;
  });
  assert.equal(attempts[0]?.['status'], 200, 'what came of it is kept');
  const againInMs = Date.parse(String(hot?.['next_at'])) - Date.now();
  assert.ok(againInMs > 500_000 && againInMs < 601_000, `${againInMs} ms`);
  assert.equal(receiver.arrivals.length, 20);
  assert.equal(await metric(app.url, 'belfry_unprocessable_total'), 1);
});

test('an answer that the database refuses is left out of the record', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver((res) => res.end('an answer'));
  await sql(db.database, 'ALTER TABLE belfry.attempts ADD CHECK (response_body IS NULL)');
  await using app = await startTestApp(db.url);
  const { body } = await app.post({ url: receiver.url });
  const done = await finished(app, Number(body['id']));
  assert.deepEqual([done['status'], codesOf(done)], ['succeeded', [null]]);
  assert.equal(receiver.arrivals.length, 1);
});
