import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { startBelfry } from '../support/belfryProcess.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createOracle, idOf } from '../support/oracle.ts';
import { startReceiver } from '../support/receiver.ts';

const ttlMs = 1_000;
const environment = {
  ALLOW_TARGETS: '127.0.0.1',
  HEARTBEAT_TTL: String(ttlMs / 1_000),
  WEBHOOK_TIMEOUT: '30',
  LOG_LEVEL: 'warn',
};

/** A process is stopped in the middle of an attempt for longer than its lease, and wakes again. */
export async function staleOutcome(): Promise<void> {
  await using database = await createTestDatabase();
  const held: (() => void)[] = [];
  await using receiver = await startReceiver((res, { headers }) => {
    if (headers['belfry-attempt'] === '1') held.push(() => res.writeHead(500).end());
    else res.end();
  });
  const service = {
    command: 'serve',
    environment: { ...environment, DATABASE_URL: database.url },
  } as const;
  await using paused = await startBelfry(service);
  await using other = await startBelfry(service);
  const oracle = createOracle();
  for (let index = 0; index < 10; index++) {
    const { id, dueAtMs } = await paused.timers.created({ url: receiver.url, seconds: 0 });
    oracle.acknowledged(id, dueAtMs);
  }
  await receiver.arrived(10);
  paused.signal('SIGSTOP');
  await oracle.settled(database.database, 20_000);
  for (const end of held) end();
  paused.signal('SIGCONT');
  await eventually('its outcomes are refused and counted', async () => {
    return (await paused.timers.metric('belfry_stale_outcomes_total')) === 10;
  });
  assert.equal(await paused.timers.metric('belfry_leases_lost_total'), 1);
  assert.equal(await other.timers.metric('belfry_stale_outcomes_total'), 0);
  const verdict = await oracle.judge(database.database, receiver.arrivals);
  assert.equal(verdict.duplicates, 10);
  for (const id of oracle.promised.keys()) {
    const { attempts } = await paused.timers.read(id);
    // The refused 500 is nowhere: neither as an attempt nor as a retry.
    assert.deepEqual(
      attempts.map(({ lost, status }) => [lost, status]),
      [
        [true, null],
        [false, 200],
      ],
    );
  }
  const { id } = await paused.timers.created({ url: receiver.url, seconds: 0 });
  await receiver.arrived(21);
  assert.equal(idOf(receiver.arrivals[20] ?? { path: '' }), id, 'it works on under a new identity');
}

/** Timers of a stopped process are cancelled or taken over; then it wakes. */
export async function wakesAfterTakeOver(): Promise<void> {
  await using database = await createTestDatabase();
  await using receiver = await startReceiver();
  const service = {
    command: 'serve',
    environment: { ...environment, DATABASE_URL: database.url },
  } as const;
  await using paused = await startBelfry(service);
  await using other = await startBelfry({
    ...service,
    environment: { ...service.environment, ROLES: 'api' },
  });
  const toCancel: number[] = [];
  for (let index = 0; index < 30; index++) {
    // Within twice the look-ahead: the process that is about to be stopped owns them.
    toCancel.push((await paused.timers.created({ url: receiver.url, delay: 1.95 })).id);
  }
  paused.signal('SIGSTOP');
  // Until its heartbeat has lapsed nobody can say: then the answer is 503, and one asks again.
  const answers = await Promise.all(
    toCancel.map((id) =>
      eventually(`an answer about timer ${id}`, async () => {
        const answer = await other.timers.cancel(id);
        return answer.status === 503 ? undefined : answer;
      }),
    ),
  );
  paused.signal('SIGCONT');
  const answeredAtMs = Date.now();
  for (const { status, body } of answers) assert.equal(status, 200, JSON.stringify(body));
  // They were due while it slept: it wakes with all of them in its heap.
  await eventually('it is back under a new identity', async () => {
    return (await paused.timers.metric('belfry_leases_lost_total')) === 1;
  });
  const { id } = await paused.timers.created({ url: receiver.url, seconds: 0 });
  await receiver.arrived(1);
  await sleep(500);
  assert.deepEqual(
    receiver.arrivals.map((arrival) => idOf(arrival)),
    [id],
    `started after a cancel answered 2xx at ${answeredAtMs}`,
  );
  for (const cancelled of toCancel) {
    assert.equal((await other.timers.read(cancelled)).status, 'cancelled');
  }
}

/**
 * Two processes under load, one of them stopped again and again at random instants for about as
 * long as its lease. Some timers are cancelled meanwhile through the other process: whatever was
 * answered 2xx must not arrive any more.
 */
export async function randomPauses(t: TestContext, options: { cycles: number }): Promise<void> {
  await using database = await createTestDatabase();
  await using receiver = await startReceiver((res) => void setTimeout(() => res.end(), 10));
  const service = {
    command: 'serve',
    environment: { ...environment, DATABASE_URL: database.url },
  } as const;
  await using paused = await startBelfry(service);
  await using other = await startBelfry(service);
  const oracle = createOracle();
  const cancelled = new Map<number, number>();
  const answers = new Map<number, number>();
  for (let cycle = 0; cycle < options.cycles; cycle++) {
    const created: { id: number; dueAtMs: number }[] = [];
    await Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const via = index % 2 === 0 ? paused : other;
        const delay = 0.3 + index / 150;
        created.push(await via.timers.created({ url: receiver.url, delay }));
      }),
    );
    const toCancel = new Set(created.filter((_, index) => index % 3 === 0));
    for (const timer of created) {
      if (!toCancel.has(timer)) oracle.acknowledged(timer.id, timer.dueAtMs);
    }
    await sleep(randomInt(0, 1_200));
    paused.signal('SIGSTOP');
    const waking = sleep(randomInt(ttlMs * 0.5, ttlMs * 2)).then(() => paused.signal('SIGCONT'));
    await Promise.all(
      [...toCancel].map(async ({ id, dueAtMs }) => {
        await sleep(randomInt(0, 1_000));
        const { status } = await other.timers.cancel(id);
        answers.set(status, (answers.get(status) ?? 0) + 1);
        if (status === 200) cancelled.set(id, Date.now());
        else oracle.acknowledged(id, dueAtMs);
      }),
    );
    await waking;
    await oracle.settled(database.database, 30_000);
  }
  const verdict = await oracle.judge(database.database, receiver.arrivals);
  let before = 0;
  for (const arrival of receiver.arrivals) {
    const answeredAtMs = cancelled.get(idOf(arrival));
    if (answeredAtMs === undefined) continue;
    // An attempt that had started before may be among those of a cancelled timer.
    assert.ok(arrival.atMs <= answeredAtMs, `timer ${idOf(arrival)} came after its cancel`);
    before += 1;
  }
  const statuses = await sql<[string, number]>(
    database.database,
    'SELECT status, count(*) FROM belfry.history GROUP BY 1 ORDER BY 1',
  );
  assert.deepEqual(statuses, [
    ['cancelled', cancelled.size],
    ['succeeded', verdict.succeeded],
  ]);
  t.diagnostic(
    `${options.cycles} pauses, ${verdict.promised} delivered, ${verdict.duplicates} duplicates, ${verdict.lostAttempts} attempts lost; cancels: ${JSON.stringify([...answers])}, ${before} of them had been started before`,
  );
}
