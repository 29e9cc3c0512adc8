import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBelfry, type BelfryProcess } from '../support/belfryProcess.ts';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createOracle } from '../support/oracle.ts';
import { startReceiver } from '../support/receiver.ts';
import { inParallel } from '../support/timerClient.ts';

/** Within so long of the answer nothing starts any more; half a second for a busy machine. */
const pausedWithinMs = 1_500;
const quietMs = 2_500;

/**
 * Two processes under load; the project is paused and resumed, and each time one of them or both are
 * killed at a random instant in the middle of parking, and of letting go. Nothing arrives while it is
 * paused, and everything afterwards.
 */
export async function pausesOfProjects(
  t: TestContext,
  options: { cycles: number; timers: number },
): Promise<void> {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
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
  const running: BelfryProcess[] = [await startBelfry(service), await startBelfry(service)];

  /** Kills the first, or both, at some instant within so long, and starts others; resolves with how many were parked. */
  async function kill(withinMs: number, both: boolean): Promise<number> {
    await sleep(randomInt(0, withinMs));
    const dying = running.splice(0, both ? 2 : 1);
    for (const one of dying) one.signal('SIGKILL', 'group');
    const parked = await parkedCount(db);
    for (const one of dying) {
      await one[Symbol.asyncDispose]();
      running.push(await startBelfry(service));
    }
    return parked;
  }

  /** Asked until it is answered, by whoever lives; resolves with when. */
  function changed(action: 'pause' | 'resume'): Promise<number> {
    return eventually(`${action} is answered`, async () => {
      const answer = await running
        .at(-1)
        ?.timers.send('POST', `/projects/1/${action}`)
        .catch(() => undefined);
      return answer?.status === 200 ? Date.now() : undefined;
    });
  }

  try {
    for (let cycle = 1; cycle <= options.cycles; cycle++) {
      const both = cycle % 2 === 0;
      await inParallel(options.timers, 64, async (index) => {
        const delay = 0.3 + (4 * index) / options.timers;
        const by = running[index % 2];
        const made = await by?.timers.created({ url: receiver.url, delay });
        if (made !== undefined) oracle.acknowledged(made.id, made.dueAtMs);
      });
      const [pausedAtMs, parkedBefore] = await Promise.all([changed('pause'), kill(300, both)]);
      await sleep(Math.max(0, pausedAtMs + pausedWithinMs + quietMs - Date.now()));
      const quietFromMs = pausedAtMs + pausedWithinMs;
      const during = receiver.arrivals.filter(({ atMs }) => atMs > quietFromMs);
      const parked = await parkedCount(db);
      assert.equal(during.length, 0, `${during.length} arrived while it was paused`);
      const [, left] = await Promise.all([changed('resume'), kill(600, both)]);
      await oracle.settled(db.database, 60_000);
      const { duplicates, lostAttempts } = await oracle.judge(db.database, receiver.arrivals);
      t.diagnostic(
        `cycle ${cycle}: ${both ? 'both' : 'one'} killed, ${parkedBefore} were parked then, ${parked} in the end, ${left} when killed again; ${duplicates} duplicates, ${lostAttempts} attempts lost so far`,
      );
    }
  } finally {
    for (const one of running) await one[Symbol.asyncDispose]();
  }
}

async function parkedCount(db: TestDatabase): Promise<number> {
  const [row] = await sql<[number]>(
    db.database,
    'SELECT count(*) FROM belfry.timers WHERE parked_lane IS NOT NULL',
  );
  return row?.[0] ?? 0;
}
