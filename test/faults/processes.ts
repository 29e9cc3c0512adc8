import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { startBelfry } from '../support/belfryProcess.ts';
import { createTestDatabase } from '../support/database.ts';
import { createOracle, idOf } from '../support/oracle.ts';
import { startReceiver } from '../support/receiver.ts';
import { inParallel } from '../support/timerClient.ts';

const succeeded = 'belfry_attempts_total\\{result="succeeded"\\}';

/** Two schedulers on one database share the work, each timer done by one of them. */
export async function sharedWork(t: TestContext, options: { timers: number }): Promise<void> {
  await using database = await createTestDatabase();
  await using receiver = await startReceiver();
  const service = {
    command: 'serve',
    environment: { DATABASE_URL: database.url, ALLOW_TARGETS: '127.0.0.1', LOG_LEVEL: 'warn' },
  } as const;
  await using first = await startBelfry(service);
  await using second = await startBelfry(service);
  const oracle = createOracle();
  await inParallel(options.timers, 64, async (index) => {
    // Most are due beyond twice the look-ahead, so that nobody owns them from the start.
    const delay = 1.5 + (4 * index) / options.timers;
    const { id, dueAtMs } = await first.timers.created({ url: receiver.url, delay });
    oracle.acknowledged(id, dueAtMs);
  });
  await oracle.settled(database.database, 30_000);
  const { duplicates } = await oracle.judge(database.database, receiver.arrivals);
  assert.equal(duplicates, 0);
  const shares = [await first.timers.metric(succeeded), await second.timers.metric(succeeded)];
  t.diagnostic(`shared ${options.timers} timers: ${shares.join(' and ')}`);
  assert.equal(Number(shares[0]) + Number(shares[1]), options.timers);
  for (const share of shares) assert.ok(share > options.timers / 20, `shares: ${shares.join()}`);
}

/** One process takes requests, another one fires: near timers and cancels go across. */
export async function apiAndScheduler(t: TestContext): Promise<void> {
  await using database = await createTestDatabase();
  await using receiver = await startReceiver();
  const environment = {
    DATABASE_URL: database.url,
    ALLOW_TARGETS: '127.0.0.1',
    LOG_LEVEL: 'warn',
  };
  await using api = await startBelfry({
    command: 'serve',
    environment: { ...environment, ROLES: 'api' },
  });
  await using scheduler = await startBelfry({ command: 'serve', environment });
  const dueAt = new Map<number, number>();
  for (let index = 0; index < 60; index++) {
    const delay = [0, 0.02, 0.05, 0.1][index % 4];
    const { id, dueAtMs } = await api.timers.created({ url: receiver.url, delay });
    dueAt.set(id, dueAtMs);
    await sleep(37);
  }
  await receiver.arrived(60);
  const lateMs = receiver.arrivals
    .map((arrival) => arrival.atMs - (dueAt.get(idOf(arrival)) ?? Infinity))
    .toSorted((a, b) => a - b);
  assert.ok(Number(lateMs[0]) >= 0, `early by ${-Number(lateMs[0])} ms`);
  const median = Number(lateMs[30]);
  t.diagnostic(`across processes: median ${median} ms late, at most ${lateMs[59]} ms`);
  assert.ok(median < 100, `the median is ${median} ms late, a poll would be 125`);
  assert.equal(await scheduler.timers.metric(succeeded), 60);

  const created = await Promise.all(
    Array.from({ length: 20 }, () => api.timers.created({ url: receiver.url, delay: 1.6 })),
  );
  // They are due within the look-ahead by then: the scheduler has claimed them.
  await sleep(700);
  const cancels = await Promise.all(created.map(({ id }) => api.timers.cancel(id)));
  for (const { status, body } of cancels) assert.equal(status, 200, JSON.stringify(body));
  await sleep(2_000);
  assert.equal(receiver.arrivals.length, 60, 'nothing arrives after its cancel');
}
