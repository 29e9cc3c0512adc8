import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.ts';
import { setDestination, switchDestination } from '../support/destinationSettings.ts';
import { eventually } from '../support/eventually.ts';
import { request } from '../support/http.ts';
import { assertEachOnce, assertSettled, createNow, parkedCount } from '../support/lanes.ts';
import { startReceiver } from '../support/receiver.ts';

/** Never claimed before, and overdue. */
async function seedOverdue(db: TestDatabase, url: string, count: number): Promise<void> {
  await sql(
    db.database,
    `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url, retry)
     SELECT nextval('belfry.timer_id'), 1, at, at, at, $1, '{"attemptsMax": 1, "baseMs": 1, "factor": 1, "capMs": 1, "jitter": 0, "ageMaxMs": null}'::jsonb
     FROM (SELECT date_trunc('milliseconds', now() - (1000 + n % 2000) * interval '1 ms') AS at
       FROM generate_series(1, $2::integer) AS n) AS due`,
    [url, count],
  );
}

test('a rate holds over two processes, and is used up', async (t: TestContext) => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  const perSecond = 20;
  await using one = await startTestApp(db.url);
  await using two = await startTestApp(db.url);
  await setDestination(one, receiver.url, { rate: { count: perSecond, per: 'second' } });
  // Until both know it, and each other.
  await sleep(1_300);
  const seconds = Number(process.env['BELFRY_RATE_SECONDS'] ?? 5);
  const count = perSecond * (seconds + 2);
  await createNow([one, two], receiver.url, count);
  await receiver.arrived(count, (seconds + 30) * 1_000);
  assertEachOnce(receiver, count);
  const times = receiver.arrivals.map(({ atMs }) => atMs);
  const first = times[0] ?? NaN;
  const within = times.filter((atMs) => atMs - first < seconds * 1_000).length;
  t.diagnostic(`${within} within ${seconds} s, ${(times.at(-1) ?? NaN) - first} ms for ${count}`);
  const burst = perSecond / 2;
  assert.ok(within <= perSecond * seconds * 1.1 + burst, `${within} came`);
  assert.ok(within >= perSecond * seconds * 0.7, `${within} came`);
  await assertSettled(db);
});

test('a concurrency is never exceeded by two processes together, and is used up', async (t: TestContext) => {
  await using db = await createTestDatabase();
  let open = 0;
  const seen: number[] = [];
  await using receiver = await startReceiver((res) => {
    open += 1;
    seen.push(open);
    setTimeout(() => {
      open -= 1;
      res.end();
    }, 150);
  });
  await using one = await startTestApp(db.url);
  await using two = await startTestApp(db.url);
  await setDestination(one, receiver.url, { concurrency: 4 });
  // Until both know it and each other, and have permits.
  await sleep(2_500);
  const startedAtMs = performance.now();
  await createNow([one, two], receiver.url, 80);
  await receiver.arrived(80);
  const tookMs = performance.now() - startedAtMs;
  await assertSettled(db);
  assertEachOnce(receiver, 80);
  const mean = (80 * 150) / (tookMs - 200);
  t.diagnostic(
    `at most ${Math.max(...seen)}, in the mean ${mean.toFixed(1)} in ${tookMs.toFixed(0)} ms`,
  );
  assert.ok(Math.max(...seen) <= 4, `${Math.max(...seen)} at once`);
  assert.ok(mean > 1.5, `${mean} in the mean`);
});

test('nothing starts at a paused destination; resumed, all of it does, but for what was changed', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using other = await startReceiver();
  await using one = await startTestApp(db.url);
  await using two = await startTestApp(db.url);
  await setDestination(one, receiver.url, {});
  await switchDestination(one, receiver.url, 'pause');
  await sleep(1_000);
  const ids = await createNow([one, two], receiver.url, 40);
  const elsewhere = await one.post({ url: other.url });
  const ending = await one.post({ url: receiver.url, expires_after: 1 });
  await other.arrived(1);
  assert.equal(other.arrivals[0]?.path, `/${String(elsewhere.body['id'])}`);
  const ended = await eventually('it has expired', async () => {
    const { body } = await two.get(`/timers/${String(ending.body['id'])}`);
    return body['status'] === 'failed' ? body : undefined;
  });
  assert.equal(ended['failure_code'], 'expired');
  assert.equal(await parkedCount(db), 40);
  assert.equal(receiver.arrivals.length, 0);
  const [first, second, third] = ids;
  const shown = await one.get(`/timers/${first}`);
  assert.equal(shown.body['status'], 'pending');
  assert.equal(shown.body['time_left'], 0);
  assert.equal((await one.cancel(first)).status, 200);
  const patched = async (id: number | undefined, change: unknown) => {
    const url = `${two.url}/timers/${id}`;
    const answer = await request(url, { method: 'PATCH', body: JSON.stringify(change) });
    assert.equal(answer.status, 200, answer.text);
  };
  await patched(second, { url: other.url });
  await patched(third, { delay: 3_600 });
  await other.arrived(2);
  assert.equal(await parkedCount(db), 37, 'both have left the lane');
  await switchDestination(two, receiver.url, 'resume');
  await receiver.arrived(37);
  assert.equal((await one.cancel(third)).status, 200);
  await assertSettled(db);
  assertEachOnce(receiver, 37);
});

test('a paused project comes before the limits of its destinations', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url);
  await setDestination(app, receiver.url, { rate: { count: 5, per: 'second' } });
  await createNow([app], receiver.url, 10);
  await eventually('some wait', async () => (await parkedCount(db)) > 0);
  const pause = (action: string) =>
    request(`${app.url}/projects/1/${action}`, { method: 'POST' }).then(({ status }) =>
      assert.equal(status, 200),
    );
  await pause('pause');
  await sleep(100);
  const before = receiver.arrivals.length;
  await sleep(1_000);
  assert.equal(receiver.arrivals.length, before);
  await pause('resume');
  await receiver.arrived(10);
  await assertSettled(db);
  assertEachOnce(receiver, 10);
});

test('a crowd at a receiver that never answers waits in its lane, and others are on time', async (t: TestContext) => {
  await using db = await createTestDatabase();
  await using healthy = await startReceiver();
  await using dead = await startReceiver(() => undefined);
  const count = Number(process.env['BELFRY_DEAD_TIMERS'] ?? 3_000);
  const perSecond = Number(process.env['BELFRY_HEALTHY_RATE'] ?? 50);
  await using app = await startTestApp(db.url, {
    BREAKER_FAILURES: '0',
    DESTINATION_CONCURRENCY: '16',
    WEBHOOK_TIMEOUT: '1',
  });
  const latenessOf = async (seconds: number, seed: () => Promise<void>) => {
    const from = healthy.arrivals.length;
    const dueAt = new Map<string, number>();
    let seeded: Promise<void> | undefined;
    for (let index = 0; index < perSecond * seconds; index += 10) {
      const made = await Promise.all(
        Array.from({ length: 10 }, () => app.post({ url: healthy.url, delay: 2 })),
      );
      for (const { body } of made) {
        dueAt.set(`/${String(body['id'])}`, Date.parse(String(body['due_at'])));
      }
      seeded ??= seed();
      await sleep(10_000 / perSecond);
    }
    await seeded;
    await healthy.arrived(from + dueAt.size, 60_000);
    return healthy.arrivals
      .slice(from)
      .map(({ path, atMs }) => atMs - (dueAt.get(path) ?? NaN))
      .toSorted((a, b) => a - b);
  };
  const at = (late: readonly number[], share: number) =>
    late[Math.floor(late.length * share)] ?? NaN;
  const seconds = Number(process.env['BELFRY_DEAD_SECONDS'] ?? 4);
  const alone = await latenessOf(seconds, () => Promise.resolve());
  const beside = await latenessOf(seconds, () => seedOverdue(db, dead.url, count));
  const parked = await parkedCount(db);
  for (const [name, late] of [
    ['alone', alone],
    [`beside ${count}`, beside],
  ] as const) {
    t.diagnostic(
      `${name}: ms late, median ${at(late, 0.5)}, p99 ${at(late, 0.99)}, most ${late.at(-1)}`,
    );
  }
  t.diagnostic(`${parked} wait in the lane then; ${dead.arrivals.length} were tried`);
  assert.ok(parked > count / 2, `only ${parked} wait in the lane`);
  assert.ok(dead.arrivals.length > 16, 'its slots are used');
  assert.ok(at(beside, 0.5) < 250, `half of them ${at(beside, 0.5)} ms late`);
});
