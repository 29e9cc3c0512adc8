import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import type { TestContext } from 'node:test';
import { readConnectionFile } from '../../src/store/embedded.ts';
import { makeDataDir, runningPid } from '../integration/embeddedFixture.ts';
import { startBelfry, type BelfryProcess } from '../support/belfryProcess.ts';
import { openDatabase, sql } from '../support/database.ts';
import { createOracle } from '../support/oracle.ts';
import { killPostgres } from '../support/postgresProcess.ts';
import { startReceiver } from '../support/receiver.ts';
import { inParallel } from '../support/timerClient.ts';

/** Attempts under way to one destination at once: what a kill may interrupt. */
const destinationConcurrency = 100;

/**
 * Kills Belfry and its embedded PostgreSQL together, again and again, each time in the middle of
 * `timers` timers that fire over two seconds. In every third cycle it is killed once more while it
 * takes over what the first kill left.
 */
export async function killCycles(
  t: TestContext,
  options: { cycles: number; timers: number },
): Promise<void> {
  const { cycles, timers } = options;
  const dataDir = await makeDataDir(t);
  // The answer takes a while, so that there are attempts under way at any time.
  await using receiver = await startReceiver((res) => void setTimeout(() => res.end(), 20));
  const service = {
    command: 'dev',
    environment: {
      DATA_DIR: dataDir,
      HEARTBEAT_TTL: '1',
      DESTINATION_CONCURRENCY: String(destinationConcurrency),
      LOG_LEVEL: 'warn',
    },
  } as const;
  const oracle = createOracle();
  let belfry = await startBelfry(service);
  const total = { duplicates: 0, lost: 0, kills: 0 };
  try {
    for (let cycle = 1; cycle <= cycles; cycle++) {
      const before = receiver.arrivals.length;
      const unanswered = await createMany(belfry, receiver.url, timers, oracle);
      assert.equal(unanswered, 0);
      const killAfter = randomInt(Math.ceil(timers * 0.1), Math.ceil(timers * 0.9));
      await receiver.arrived(before + killAfter, 30_000);
      let underWay = await killAll(belfry, dataDir, cycle % 2 === 0);
      total.kills += 1;
      belfry = await startBelfry(service);
      if (cycle % 3 === 0) {
        await new Promise((resolve) => setTimeout(resolve, randomInt(0, 1_500)));
        const more = await killAll(belfry, dataDir, cycle % 2 === 0);
        underWay = underWay === undefined || more === undefined ? undefined : underWay + more;
        total.kills += 1;
        belfry = await startBelfry(service);
      }
      const url = (await readConnectionFile(dataDir))?.url;
      assert.ok(url !== undefined);
      const database = openDatabase(url);
      try {
        await oracle.settled(database, 60_000);
        const verdict = await oracle.judge(database, receiver.arrivals);
        const duplicates = verdict.duplicates - total.duplicates;
        const lost = verdict.lostAttempts - total.lost;
        t.diagnostic(
          `cycle ${cycle}: killed after ${killAfter} of ${timers}, ${underWay ?? '?'} under way, ${duplicates} duplicates, ${lost} attempts lost`,
        );
        if (underWay !== undefined) {
          assert.ok(duplicates <= underWay, `${duplicates} duplicates, ${underWay} under way`);
        }
        total.duplicates = verdict.duplicates;
        total.lost = verdict.lostAttempts;
      } finally {
        await database.close();
      }
    }
  } finally {
    await belfry[Symbol.asyncDispose]();
  }
  t.diagnostic(
    `${total.kills} kills, ${oracle.promised.size} timers, all succeeded; ${total.duplicates} duplicates, ${total.lost} attempts lost`,
  );
}

/** Resolves with how many creates got no answer. */
async function createMany(
  belfry: BelfryProcess,
  url: string,
  count: number,
  oracle: ReturnType<typeof createOracle>,
): Promise<number> {
  let unanswered = 0;
  await inParallel(count, 64, async (index) => {
    try {
      const delay = 0.5 + (2 * index) / count;
      const { id, dueAtMs } = await belfry.timers.created({ url, delay });
      oracle.acknowledged(id, dueAtMs);
    } catch {
      unanswered += 1;
    }
  });
  return unanswered;
}

/**
 * Ends everything at once. With `counted` Belfry is stopped a moment before it is killed, so that
 * PostgreSQL can be asked what has arrived and is not recorded: the attempts under way.
 */
async function killAll(
  belfry: BelfryProcess,
  dataDir: string,
  counted: boolean,
): Promise<number | undefined> {
  const postmaster = await runningPid(dataDir);
  let underWay: number | undefined;
  if (counted) {
    belfry.signal('SIGSTOP', 'group');
    underWay = await countUnderWay(dataDir);
  }
  belfry.signal('SIGKILL', 'group');
  await killPostgres(postmaster);
  await belfry[Symbol.asyncDispose]();
  return underWay;
}

/** Timers owned and due: whichever of them were started have no outcome recorded. */
async function countUnderWay(dataDir: string): Promise<number> {
  const url = (await readConnectionFile(dataDir))?.url;
  assert.ok(url !== undefined);
  const database = openDatabase(url);
  try {
    const [row] = await sql<[number]>(
      database,
      `SELECT count(*) FROM belfry.timers
       WHERE owner IS NOT NULL AND next_at <= clock_timestamp()`,
    );
    return row?.[0] ?? 0;
  } finally {
    await database.close();
  }
}
