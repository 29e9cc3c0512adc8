import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBelfry, type BelfryProcess } from '../support/belfryProcess.ts';
import { createTestDatabase } from '../support/database.ts';
import { setDestination } from '../support/destinationSettings.ts';
import { eventually } from '../support/eventually.ts';
import { assertSettled, parkedCount } from '../support/lanes.ts';
import { createOracle } from '../support/oracle.ts';
import { startReceiver } from '../support/receiver.ts';
import { inParallel } from '../support/timerClient.ts';

const concurrencyMax = 4;
const answerAfterMs = 40;

/**
 * Two processes and a destination that takes less than is due: most wait in its lane. Each time one of
 * them is killed at a random instant, while timers are parked and pulled, and once more are created
 * another takes its place. Nothing is lost, more than the concurrency are never under way, and the
 * permits of the dead are used again.
 */
export async function limitsOfDestinations(
  t: TestContext,
  options: { cycles: number; timers: number },
): Promise<void> {
  await using db = await createTestDatabase();
  let open = 0;
  let most = 0;
  await using receiver = await startReceiver((res) => {
    open += 1;
    most = Math.max(most, open);
    let isOver = false;
    const end = () => {
      if (!isOver) open -= 1;
      isOver = true;
    };
    // Of one who dies as well.
    res.on('close', end);
    setTimeout(() => res.end(), answerAfterMs);
  });
  const service = {
    command: 'serve',
    environment: {
      DATABASE_URL: db.url,
      ALLOW_TARGETS: '127.0.0.1',
      HEARTBEAT_TTL: '1',
      LOG_LEVEL: 'error',
    },
  } as const;
  const oracle = createOracle();
  const first = await startBelfry(service);
  const running: BelfryProcess[] = [first, await startBelfry(service)];
  try {
    await setDestination(first, receiver.url, { concurrency: concurrencyMax });
    // Until both know it.
    await sleep(1_000);
    for (let cycle = 1; cycle <= options.cycles; cycle++) {
      await inParallel(options.timers, 32, async (index) => {
        const delay = (1.5 * index) / options.timers;
        const made = await running[index % 2]?.timers.created({ url: receiver.url, delay });
        if (made !== undefined) oracle.acknowledged(made.id, made.dueAtMs);
      });
      await eventually('many wait in the lane', async () => (await parkedCount(db)) > 20);
      await sleep(randomInt(0, 500));
      const dying = running.shift();
      dying?.signal('SIGKILL', 'group');
      const parked = await parkedCount(db);
      await dying?.[Symbol.asyncDispose]();
      // Every other time the survivor has to do all of the rest, with all of the permits.
      if (cycle % 2 === 0) running.push(await startBelfry(service));
      await oracle.settled(db.database, 60_000);
      if (cycle % 2 === 1) running.push(await startBelfry(service));
      const { duplicates, lostAttempts } = await oracle.judge(db.database, receiver.arrivals);
      t.diagnostic(
        `cycle ${cycle}: ${parked} were parked when it was killed, at most ${most} at once, ${duplicates} duplicates, ${lostAttempts} attempts lost so far`,
      );
      assert.ok(most <= concurrencyMax, `${most} at once`);
    }
    await assertSettled(db);
    // All permits are there again, half of them with each.
    const from = receiver.arrivals.length;
    const count = 40;
    const startedAtMs = performance.now();
    await inParallel(count, count, async (index) => {
      await running[index % 2]?.timers.created({ url: receiver.url });
    });
    await receiver.arrived(from + count);
    const mean = (count * answerAfterMs) / (performance.now() - startedAtMs);
    t.diagnostic(`afterwards ${mean.toFixed(1)} at once in the mean`);
    assert.ok(mean > 1, `${mean} at once in the mean`);
    assert.ok(most <= concurrencyMax, `${most} at once`);
  } finally {
    for (const one of running) await one[Symbol.asyncDispose]();
  }
}
