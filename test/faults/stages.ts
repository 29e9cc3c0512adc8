import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { spawnBelfry, startBelfry, type BelfryProcess } from '../support/belfryProcess.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createOracle } from '../support/oracle.ts';
import { startReceiver } from '../support/receiver.ts';
import { failOnce, startPostgresProxy, type TcpProxy } from '../support/tcpProxy.ts';
import { inParallel } from '../support/timerClient.ts';

/** One stage of a timer's way at which its process is killed. */
interface Stage {
  readonly name: string;
  readonly timers: number;
  readonly delay: number;
  /** The receiver keeps its answers until the process is dead. */
  readonly holdsAnswers?: boolean;
  /** Resolves when the timers stand where the kill is to find them. */
  reached(at: {
    belfry: BelfryProcess;
    proxy: TcpProxy;
    arrived: (count: number) => Promise<unknown>;
    create: () => Promise<void>;
  }): Promise<void>;
  /** What must come of it: arrivals and lost attempts of each timer. */
  readonly arrivals: number;
  readonly lost: number;
}

const stages: readonly Stage[] = [
  {
    name: 'right after the 2xx of a create',
    timers: 1,
    delay: 0.3,
    reached: ({ create }) => create(),
    arrivals: 1,
    lost: 0,
  },
  {
    name: 'while it is claimed and waits',
    timers: 20,
    delay: 1.9,
    reached: ({ create }) => create(),
    arrivals: 1,
    lost: 0,
  },
  {
    name: 'in the middle of a delivery',
    timers: 20,
    delay: 0,
    holdsAnswers: true,
    async reached({ create, arrived }) {
      await create();
      await arrived(20);
    },
    arrivals: 2,
    lost: 1,
  },
  {
    name: 'after the response, before the outcome reached the database',
    timers: 1,
    delay: 0.2,
    async reached({ create, proxy }) {
      const held = failOnce(proxy, 'record_outcomes', 'request', 'hold');
      await create();
      await held;
    },
    arrivals: 2,
    lost: 1,
  },
  {
    name: 'after the outcome was committed, before its answer came back',
    timers: 1,
    delay: 0.2,
    async reached({ create, proxy }) {
      const held = failOnce(proxy, 'record_outcomes', 'answer', 'hold');
      await create();
      await held;
    },
    arrivals: 1,
    lost: 0,
  },
];

/** Kills a process with kill -9 at each stage of a timer, and lets another one take over. */
export async function killAtEachStage(t: TestContext): Promise<void> {
  for (const stage of stages) await t.test(stage.name, (t) => killAt(t, stage));
}

async function killAt(t: TestContext, stage: Stage): Promise<void> {
  await using database = await createTestDatabase();
  await using postgres = await startPostgresProxy(database.url);
  let holding = stage.holdsAnswers === true;
  const held: (() => void)[] = [];
  await using receiver = await startReceiver((res) => {
    if (holding) held.push(() => res.end());
    else res.end();
  });
  const environment = { ALLOW_TARGETS: '127.0.0.1', HEARTBEAT_TTL: '1', WEBHOOK_TIMEOUT: '30' };
  const oracle = createOracle();
  {
    await using belfry = await startBelfry({
      command: 'serve',
      environment: { ...environment, DATABASE_URL: postgres.url },
    });
    await stage.reached({
      belfry,
      proxy: postgres.proxy,
      arrived: (count) => receiver.arrived(count),
      create: () =>
        inParallel(stage.timers, 20, async () => {
          const { id, dueAtMs } = await belfry.timers.created({
            url: receiver.url,
            delay: stage.delay,
          });
          oracle.acknowledged(id, dueAtMs);
        }),
    });
    belfry.signal('SIGKILL', 'group');
    await belfry.exited;
  }
  postgres.proxy.cutAll();
  holding = false;
  for (const end of held) end();
  await using belfry = await spawnBelfry({
    command: 'serve',
    environment: { ...environment, DATABASE_URL: database.url },
  });
  await belfry.ready();
  await oracle.settled(database.database, 20_000);
  const verdict = await oracle.judge(database.database, receiver.arrivals);
  for (const [id, arrivals] of oracle.arrivalsOf(receiver.arrivals)) {
    // The kill comes after the first of them: those due later may be taken for started.
    assert.equal(arrivals.length, stage.arrivals, `timer ${id}`);
    const { attempts } = await belfry.timers.read(id);
    const lost = attempts.filter((attempt) => attempt.lost);
    if (stage.arrivals === 2) assert.equal(lost.length, stage.lost, JSON.stringify(attempts));
    assert.equal(attempts.at(-1)?.status, 200);
  }
  t.diagnostic(`${verdict.duplicates} duplicates, ${verdict.lostAttempts} attempts lost`);
  await eventually('the dead process owns nothing', async () => {
    const [row] = await sql<[number]>(database.database, 'SELECT count(*) FROM belfry.timers');
    return row?.[0] === 0;
  });
}
