import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { makeDataDir, runningPid } from '../integration/embeddedFixture.ts';
import { startBelfry, type BelfryProcess } from '../support/belfryProcess.ts';
import { openDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { idOf } from '../support/oracle.ts';
import { startReceiver } from '../support/receiver.ts';
import { startChangeLoad } from './changeLoad.ts';
import { judgeChanges } from './changeOracle.ts';

type Fault = 'kill' | 'pause' | 'postgres';

/**
 * Timers are edited, moved, fired, retried, cancelled and pushed back by name through several processes,
 * while those are killed, or stopped for about as long as their lease, and PostgreSQL crashes. What was
 * answered is true: nothing of a timer as it was before starts any more, what a change made of it is
 * what is sent, once where nothing was killed under it, and none is lost.
 */
export async function changesUnderFaults(
  t: TestContext,
  options: { processes: number; names: number; faults: readonly Fault[] },
): Promise<void> {
  const dataDir = await makeDataDir(t);
  const log = silentLog();
  let postgres = await startEmbeddedPostgres({ dataDir, log });
  await using receiver = await startReceiver((res, arrival) => {
    const attempt = Number(arrival.headers['belfry-attempt']);
    // So that there are such as wait for another attempt.
    res.statusCode = (idOf(arrival) + attempt) % 9 === 0 ? 500 : 200;
    setTimeout(() => res.end(), 20);
  });
  const service = {
    command: 'serve',
    environment: {
      DATABASE_URL: postgres.url,
      ALLOW_TARGETS: '127.0.0.1',
      HEARTBEAT_TTL: '1',
      RETRY_BASE: '0.5',
      LOG_LEVEL: 'error',
    },
  } as const;
  const processes: BelfryProcess[] = [];
  try {
    for (let index = 0; index < options.processes; index++) {
      processes.push(await startBelfry(service));
    }
    const client = () => anyOf(processes).timers;
    const load = startChangeLoad({ url: receiver.url, names: options.names, client });
    for (const fault of options.faults) {
      await sleep(randomInt(300, 1_500));
      const victim = anyOf(processes);
      if (fault === 'postgres') {
        const postmaster = await runningPid(dataDir);
        await postgres.release();
        process.kill(postmaster, 'SIGQUIT');
        await sleep(randomInt(100, 2_000));
        postgres = await startEmbeddedPostgres({ dataDir, log });
        await Promise.all(processes.map((one) => one.ready()));
      } else if (fault === 'pause') {
        victim.signal('SIGSTOP');
        await sleep(randomInt(300, 4_000));
        victim.signal('SIGCONT');
      } else {
        victim.signal('SIGKILL');
        await victim.exited;
        await sleep(randomInt(0, 1_500));
        processes[processes.indexOf(victim)] = await startBelfry(service);
        await victim[Symbol.asyncDispose]();
      }
    }
    await sleep(1_000);
    await load.stop();
    const database = openDatabase(postgres.url);
    try {
      await eventually(
        'every timer has ended',
        async () => {
          const [row] = await sql<[number]>(database, 'SELECT count(*) FROM belfry.timers');
          return row?.[0] === 0;
        },
        60_000,
      );
      const verdict = await judgeChanges(load.logs, receiver.arrivals, database);
      t.diagnostic(`${options.faults.length} faults: ${JSON.stringify(verdict)}`);
      t.diagnostic([...load.answers].map(([what, times]) => `${times} × ${what}`).join(', '));
      const isAsked = (what: string) => (load.answers.get(what) ?? 0) > 0;
      for (const what of ['PUT 200', 'PUT 201', 'PATCH 200', 'POST 200', 'DELETE 200']) {
        assert.ok(isAsked(what), `no ${what}`);
      }
    } finally {
      await database.close();
    }
  } finally {
    for (const one of processes) await one[Symbol.asyncDispose]();
    await postgres.stop();
  }
}

function anyOf(processes: readonly BelfryProcess[]): BelfryProcess {
  const one = processes[randomInt(processes.length)];
  assert.ok(one !== undefined);
  return one;
}
