import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { makeDataDir, runningPid } from '../integration/embeddedFixture.ts';
import { startBelfry, type BelfryProcess } from '../support/belfryProcess.ts';
import { openDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createOracle } from '../support/oracle.ts';
import { signalPostgres } from '../support/postgresProcess.ts';
import { startReceiver } from '../support/receiver.ts';
import { codeOf } from '../support/timerClient.ts';

/**
 * PostgreSQL fails under load, and is back after `outageMs`, with two processes on one database:
 * nothing is lost, callers are told 503 with Retry-After and never 500. `crash` is `pg_ctl stop -m
 * immediate`, `hang` stops the server and all its sessions in their tracks.
 */
export async function postgresOutage(
  t: TestContext,
  options: { how: 'crash' | 'hang'; times: number; outageMs: number },
): Promise<void> {
  const dataDir = await makeDataDir(t);
  const log = silentLog();
  let postgres = await startEmbeddedPostgres({ dataDir, log });
  await using receiver = await startReceiver((res) => void setTimeout(() => res.end(), 10));
  const service = {
    command: 'serve',
    environment: {
      DATABASE_URL: postgres.url,
      ALLOW_TARGETS: '127.0.0.1',
      HEARTBEAT_TTL: '2',
      LOG_LEVEL: 'error',
    },
  } as const;
  const oracle = createOracle();
  const answers = new Map<string, number>();
  let lastCreatedAtMs = 0;
  let running = true;
  const count = (what: string) => answers.set(what, (answers.get(what) ?? 0) + 1);

  async function load(belfry: BelfryProcess, seed: number): Promise<void> {
    for (let index = seed; running; index++) {
      const delay = [0, 0.3, 1.1, 2.7][index % 4];
      const answer = await belfry.timers.create({ url: receiver.url, delay });
      count(`create ${answer.status} ${codeOf(answer)}`.trim());
      if (answer.status === 201) {
        lastCreatedAtMs = performance.now();
        const id = Number(answer.body['id']);
        oracle.acknowledged(id, Date.parse(String(answer.body['due_at'])));
        const read = await belfry.timers.get(`/timers/${id}`);
        count(`read ${read.status} ${codeOf(read)}`.trim());
        checkRefusal(read);
      } else checkRefusal(answer);
      await sleep(20);
    }
  }

  {
    await using first = await startBelfry(service);
    await using second = await startBelfry(service);
    const loads = [0, 1, 2, 3].flatMap((seed) => [load(first, seed), load(second, seed + 2)]);
    const recoveries: number[] = [];
    for (let crash = 0; crash < options.times; crash++) {
      await sleep(1_500);
      const postmaster = await runningPid(dataDir);
      if (options.how === 'crash') {
        // Our own supervision would start it again at once.
        await postgres.release();
        process.kill(postmaster, 'SIGQUIT');
      } else await signalPostgres(postmaster, 'SIGSTOP');
      await sleep(options.outageMs);
      for (const belfry of [first, second]) {
        assert.equal((await belfry.timers.get('/ready')).status, 503, 'not ready without a store');
        assert.equal((await belfry.timers.get('/health')).status, 200, 'but alive');
      }
      if (options.how === 'crash') postgres = await startEmbeddedPostgres({ dataDir, log });
      else await signalPostgres(postmaster, 'SIGCONT');
      const backAtMs = performance.now();
      await eventually('creates succeed again', () => lastCreatedAtMs > backAtMs, 30_000);
      recoveries.push(lastCreatedAtMs - backAtMs);
      await Promise.all([first.ready(), second.ready()]);
    }
    await sleep(1_500);
    running = false;
    await Promise.all(loads);
    const database = openDatabase(postgres.url);
    try {
      await oracle.settled(database, 60_000);
      const verdict = await oracle.judge(database, receiver.arrivals);
      const refused = [...answers].filter(([what]) => what.startsWith('create 503'));
      if (options.how === 'crash') assert.ok(refused.length > 0, 'the outage was felt');
      t.diagnostic(
        `${verdict.promised} acknowledged and succeeded, ${verdict.duplicates} duplicates, ${verdict.lostAttempts} attempts lost; creates succeed ${recoveries.map((ms) => Math.round(ms)).join(', ')} ms after the server is back`,
      );
      t.diagnostic([...answers].map(([what, times]) => `${times} × ${what}`).join(', '));
    } finally {
      await database.close();
    }
    for (const belfry of [first, second]) belfry.signal('SIGTERM');
    assert.deepEqual((await first.exited).code, 0);
    assert.deepEqual((await second.exited).code, 0);
  }
  await postgres.stop();
}

function checkRefusal(answer: Awaited<ReturnType<BelfryProcess['timers']['get']>>): void {
  if (answer.status < 300) return;
  assert.equal(answer.status, 503, JSON.stringify(answer.body));
  assert.ok(Number(answer.headers['retry-after']) >= 1, 'with Retry-After');
}
