import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { spawnBelfry, type BelfryProcess } from '../support/belfryProcess.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createOracle } from '../support/oracle.ts';
import { startReceiver } from '../support/receiver.ts';
import { inParallel } from '../support/timerClient.ts';

/**
 * A timer whose delivery kills its process each time, and a supervisor that starts it again: the
 * timer ends after three lost attempts in a row, and all others are delivered.
 */
export async function poisonTimer(
  t: TestContext,
  options: { bystanders: number; dueWithPoison: number },
): Promise<void> {
  await using database = await createTestDatabase();
  let belfry: BelfryProcess | undefined;
  let kills = 0;
  await using receiver = await startReceiver((res, { path }) => {
    if (path.startsWith('/poison/')) {
      kills += 1;
      belfry?.signal('SIGKILL', 'group');
    } else setTimeout(() => res.end(), 5);
  });
  const service = {
    command: 'serve',
    environment: {
      DATABASE_URL: database.url,
      ALLOW_TARGETS: '127.0.0.1',
      HEARTBEAT_TTL: '1',
      LOG_LEVEL: 'warn',
    },
  } as const;
  let supervising = true;
  async function supervise(): Promise<void> {
    while (supervising) {
      // Known before it is ready: it may take the poison at once.
      belfry = await spawnBelfry(service);
      await belfry.exited;
      await belfry[Symbol.asyncDispose]();
    }
  }
  const supervision = supervise();
  const oracle = createOracle();
  try {
    await eventually('it has started', () => belfry !== undefined);
    await belfry?.ready();
    const timers = belfry?.timers;
    assert.ok(timers !== undefined);
    const dueAt = new Date(Date.now() + 2_500).toISOString();
    const poison = await timers.created({ url: `${receiver.url}/poison`, due_at: dueAt });
    const { dueWithPoison, bystanders } = options;
    await inParallel(dueWithPoison + bystanders, 16, async (index) => {
      const spread = 1.5 + (8 * (index - dueWithPoison)) / bystanders;
      const when = index < dueWithPoison ? { due_at: dueAt } : { delay: spread };
      await timers.created({ url: `${receiver.url}/bystander`, ...when }).then(
        ({ id, dueAtMs }) => oracle.acknowledged(id, dueAtMs),
        // The poison was quicker.
        () => undefined,
      );
    });
    assert.ok(oracle.promised.size > (dueWithPoison + bystanders) / 2);
    const ended = await eventually(
      'the poison timer has ended',
      async () => {
        const timer = await belfry?.timers.read(poison.id).catch(() => undefined);
        return timer?.status === 'failed' ? timer : undefined;
      },
      60_000,
    );
    assert.equal(ended.failure_code, 'attempts_lost');
    assert.deepEqual(
      ended.attempts.map(({ lost }) => lost),
      [true, true, true],
    );
    assert.equal(kills, 3);
    await oracle.settled(database.database, 30_000);
    const { duplicates, lostAttempts } = await oracle.judge(database.database, receiver.arrivals);
    t.diagnostic(
      `${kills} kills, ${oracle.promised.size} bystanders delivered, ${duplicates} duplicates, ${lostAttempts} of their attempts lost`,
    );
  } finally {
    supervising = false;
    belfry?.signal('SIGKILL', 'group');
    await supervision;
  }
}
