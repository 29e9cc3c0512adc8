import assert from 'node:assert/strict';
import { test } from 'node:test';
import { version } from '../../src/core/version.ts';
import { makeDataDir } from '../integration/embeddedFixture.ts';
import { startBelfry } from '../support/belfryProcess.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';

void test('a timer created over HTTP arrives on time, and its record can be read', async (t) => {
  const refused = new Set<string>();
  await using receiver = await startReceiver((res, { path }) => {
    if (path.startsWith('/flaky/') && !refused.has(path)) {
      refused.add(path);
      res.statusCode = 500;
    }
    if (path.startsWith('/gone/')) res.statusCode = 410;
    if (path.startsWith('/down/')) res.statusCode = 503;
    if (path.startsWith('/moved/')) res.writeHead(302, { location: `${receiver.url}/elsewhere` });
    res.end('some answer');
  });
  const at = (path: string) => receiver.arrivals.filter((arrival) => arrival.path === path);
  const dataDir = await makeDataDir(t);
  const startedAtMs = performance.now();
  await using belfry = await startBelfry({
    command: 'dev',
    environment: { DATA_DIR: dataDir, RETRY_BASE: '0.1', RETRY_MAX_ATTEMPTS: '3' },
  });
  t.diagnostic(`fresh start in ${Math.round(performance.now() - startedAtMs)} ms`);
  const { timers } = belfry;
  const finished = (id: number) =>
    eventually(`timer ${id} has ended`, async () => {
      const timer = await timers.read(id);
      return timer.status === 'succeeded' || timer.status === 'failed' ? timer : undefined;
    });

  await t.test('it says what it is in three lines', () => {
    const greeting = belfry.stdout().split('\n').slice(0, 20).join('\n');
    assert.match(greeting, new RegExp(`Belfry ${version} for development: ${belfry.url}`));
    assert.match(greeting, /PostgreSQL: embedded, data in \//);
    assert.match(greeting, /No token is asked for/);
  });

  await t.test('create, wait, arrive, read', async () => {
    const before = Date.now();
    const created = await timers.create({ url: `${receiver.url}/a/b/?q=1#f`, delay: 1.25 });
    assert.equal(created.status, 201, JSON.stringify(created.body));
    const { id, status, time_left: timeLeft, url, due_at: dueAt } = created.body;
    assert.ok(Number.isSafeInteger(id));
    assert.equal(created.headers['location'], `/timers/${String(id)}`);
    assert.equal(status, 'pending');
    assert.equal(url, `${receiver.url}/a/b/?q=1#f`);
    assert.ok(Number(timeLeft) > 0.5 && Number(timeLeft) <= 1.25, `time_left ${String(timeLeft)}`);
    const dueAtMs = Date.parse(String(dueAt));
    assert.ok(dueAtMs >= before + 1_250 && dueAtMs < before + 4_000);
    assert.equal((await timers.read(Number(id))).status, 'pending');

    const timer = await finished(Number(id));
    const [arrival] = at(`/a/b/${String(id)}`);
    assert.ok(arrival !== undefined, 'the id is appended and the query dropped');
    assert.equal(receiver.arrivals.length, 1);
    const lateMs = arrival.atMs - dueAtMs;
    assert.ok(lateMs >= 0, `early by ${-lateMs} ms`);
    assert.ok(lateMs < 1_000, `late by ${lateMs} ms`);
    t.diagnostic(`arrived ${lateMs} ms after due`);
    assert.equal(arrival.method, 'POST');
    assert.equal(arrival.body, '');
    assert.match(String(arrival.headers['webhook-id']), new RegExp(`^[0-9a-f]{12}_${String(id)}$`));
    assert.equal(arrival.headers['belfry-attempt'], '1');
    assert.equal(arrival.headers['user-agent'], `Belfry/${version}`);
    const stamp = Number(arrival.headers['webhook-timestamp']);
    assert.ok(Math.abs(stamp - arrival.atMs / 1_000) < 3, `webhook-timestamp ${stamp}`);

    assert.equal(timer.status, 'succeeded');
    assert.equal(timer.time_left, 0);
    assert.equal(timer.attempts.length, 1);
    const [attempt] = timer.attempts;
    assert.equal(attempt?.number, 1);
    assert.equal(attempt.status, 200);
    assert.equal(attempt.error_code, null);
    assert.equal(attempt.lost, false);
    assert.ok(Date.parse(String(attempt.started_at)) >= dueAtMs);
    assert.ok(Number(attempt.lateness_ms) >= 0);
  });

  await t.test('a failed attempt is repeated under the same webhook-id', async () => {
    const { id } = await timers.created({ url: `${receiver.url}/flaky`, seconds: 0 });
    const timer = await finished(id);
    assert.equal(timer.status, 'succeeded');
    assert.deepEqual(
      timer.attempts.map(({ number, status, error_code: code }) => [number, status, code]),
      [
        [1, 500, 'http_status'],
        [2, 200, null],
      ],
    );
    const arrivals = at(`/flaky/${id}`);
    assert.deepEqual(
      arrivals.map(({ headers }) => headers['belfry-attempt']),
      ['1', '2'],
    );
    assert.equal(new Set(arrivals.map(({ headers }) => headers['webhook-id'])).size, 1);
    const apartMs = Number(arrivals[1]?.atMs) - Number(arrivals[0]?.atMs);
    assert.ok(apartMs >= 79, `the second came ${apartMs} ms after the first`);
  });

  await t.test('410 ends a timer at once', async () => {
    const { id } = await timers.created({ url: `${receiver.url}/gone`, seconds: 0 });
    const timer = await finished(id);
    assert.deepEqual([timer.status, timer.failure_code], ['failed', 'gone']);
    assert.equal(at(`/gone/${id}`).length, 1);
  });

  await t.test('it fails when its attempts are used up', async () => {
    const { id } = await timers.created({ url: `${receiver.url}/down`, seconds: 0 });
    const timer = await finished(id);
    assert.deepEqual([timer.status, timer.failure_code], ['failed', 'attempts_exhausted']);
    assert.equal(timer.attempts.length, 3);
    assert.equal(at(`/down/${id}`).length, 3);
  });

  await t.test('a redirect is a failed attempt and is not followed', async () => {
    const { id } = await timers.created({ url: `${receiver.url}/moved`, seconds: 0 });
    const timer = await finished(id);
    assert.equal(timer.status, 'failed');
    assert.deepEqual(
      timer.attempts.map(({ status }) => status),
      [302, 302, 302],
    );
    assert.equal(at('/elsewhere').length, 0);
  });

  await t.test('a cancelled timer does not arrive', async () => {
    const { id } = await timers.created({ url: `${receiver.url}/never`, delay: 0.4 });
    assert.equal((await timers.cancel(id)).status, 200);
    const { id: later } = await timers.created({ url: `${receiver.url}/later`, delay: 0.6 });
    await finished(later);
    assert.equal((await timers.read(id)).status, 'cancelled');
    assert.equal(at(`/never/${id}`).length, 0);
  });

  await t.test('two who cancel the same timer at once are told the same', async () => {
    for (let round = 0; round < 20; round++) {
      const { id } = await timers.created({ url: `${receiver.url}/never`, delay: 1.5 });
      const answers = await Promise.all([1, 2, 3].map(() => timers.cancel(id)));
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 200, 200],
      );
    }
  });

  await t.test('append_id: false calls the URL as given', async () => {
    const url = `${receiver.url}/as/given?q=1`;
    await timers.created({ url, append_id: false });
    await eventually('it arrives', () => at('/as/given?q=1').length === 1);
  });
});

void test('targets on this machine or network are refused unless allowed', async (t) => {
  const dataDir = await makeDataDir(t);
  const targets = [
    'http://localhost/x',
    'http://10.0.0.1/',
    'http://127.0.0.1:9/',
    'http://[::1]/',
  ];
  for (const options of [
    { command: 'serve', environment: { DATA_DIR: dataDir } },
    { command: 'dev', environment: { DATA_DIR: dataDir, ALLOW_TARGETS: '' } },
  ] as const) {
    await using belfry = await startBelfry(options);
    for (const url of targets) {
      const { status, body } = await belfry.timers.create({ url, seconds: 5 });
      assert.deepEqual([status, body['code']], [403, 'target_not_allowed'], url);
    }
    belfry.signal('SIGTERM');
    assert.deepEqual(await belfry.exited, { code: 0, signal: null });
  }
});
