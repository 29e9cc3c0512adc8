import { alternate, type Bench, type Scenario } from '../harness/bench.ts';
import { startDiskProbe } from '../harness/diskProbe.ts';
import { residentMb } from '../harness/processUsage.ts';
import { startStolenMeter } from '../harness/stolenTime.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import { addProject, clear, seed, settled, unfinished } from '../store.ts';
import { assertAccepted } from './create.ts';

const DEAD_ROWS = 100_000;
const DEAD_NEIGHBOUR_PER_SECOND = 500;
const CROWD_NEIGHBOUR_PER_SECOND = 100;
/** Some of them are claimed at their insert, most later on. */
const DUE = { kind: 'ahead', fromMs: 200, toMs: 5_000 } as const;
const CONNECTIONS = 16;
/**
 * Whoever comes first must not pay for what is compiled for both, and for a heap that grows. After 10 s it did: alone,
 * the p99 of four times 30 s was 4.3, 2.9, 3.3 and 3.8 ms, and 4.4, 3.0, 2.8 and 3.0 in a second process.
 */
const WARM_UP_MS = 40_000;
const SAMPLE_EVERY_MS = 200;
const OTHER_PROJECT = 2;

/**
 * What a neighbour feels. `dead receiver`: of the same project, so many timers of a receiver that takes
 * connections and never answers have been overdue from one moment on, with the breaker and without it.
 * `crowd`: timers of another project, all due within the same second, to the same receiver. Beside them timers
 * are created over HTTP at a steady rate; the floor is the same without the others.
 */
export const fairness: Scenario = {
  name: 'fairness',
  title: 'timers beside a dead receiver, and beside a crowd of another project / alone',
  async run(bench) {
    const deadRows = bench.size(DEAD_ROWS, 20_000);
    for (const breaker of ['on', 'off'] as const) {
      for (const run of bench.runs) await besideDeadReceiver(bench, { run, breaker, deadRows });
    }
    for (const run of bench.runs) await besideCrowd(bench, run);
  },
};

async function besideDeadReceiver(
  bench: Bench,
  { run, breaker, deadRows }: { run: number; breaker: 'on' | 'off'; deadRows: number },
): Promise<void> {
  await using belfry = await startBelfry(breaker === 'off' ? { BREAKER_FAILURES: '0' } : {});
  const deadPort = await bench.sink.call('listenSilently');
  const load = { perSecond: DEAD_NEIGHBOUR_PER_SECOND, durationMs: bench.size(30_000, 5_000) };
  await neighbour(bench, belfry, { ...load, durationMs: bench.size(WARM_UP_MS, 2_000) });
  const [beside, alone] = await alternate(
    run,
    async () => {
      await seed(belfry, { count: deadRows, fromMs: -60_000, toMs: 0, sinkPort: deadPort });
      const made = await neighbour(bench, belfry, load);
      const left = await unfinished(belfry, deadPort);
      if (left < deadRows) throw new Error(`${deadRows - left} of ${deadRows} are gone`);
      await clear(belfry);
      return made;
    },
    () => neighbour(bench, belfry, load),
  );
  const prefix = `beside a dead receiver with ${deadRows.toLocaleString('en-US')} due, breaker ${breaker}: `;
  for (const quantile of ['p50', 'p99'] as const) {
    bench.record({
      name: `${prefix}${quantile} late`,
      unit: 'ms',
      ours: beside.lateness[quantile],
      floor: alone.lateness[quantile],
      bars: quantile === 'p99' ? [{ of: 'ratio', atMost: 2 }] : [],
    });
  }
  bench.record({
    name: `${prefix}create, p99`,
    unit: 'ms',
    ours: beside.createP99,
    floor: alone.createP99,
  });
  recordMachine(bench, prefix, beside, alone);
  bench.record({ name: `${prefix}resident memory, most`, unit: 'MB', ours: beside.residentMb });
}

/** What the machine was like: creates wait for the disk, and all wait while its host runs others. */
function recordMachine(bench: Bench, prefix: string, beside: Machine, alone: Machine): void {
  bench.record({
    name: `${prefix}bare fdatasync, p99`,
    unit: 'ms',
    ours: beside.syncP99,
    floor: alone.syncP99,
  });
  bench.record({
    name: `${prefix}taken away by the host`,
    unit: '%',
    ours: beside.stolenPercent,
    floor: alone.stolenPercent,
  });
}

interface Machine {
  readonly syncP99: number;
  readonly stolenPercent: number;
}

async function besideCrowd(bench: Bench, run: number): Promise<void> {
  await using belfry = await startBelfry();
  await addProject(belfry, OTHER_PROJECT);
  const crowd = bench.size(bench.crowd, 20_000);
  const load = { perSecond: CROWD_NEIGHBOUR_PER_SECOND, durationMs: bench.size(30_000, 5_000) };
  await neighbour(bench, belfry, { ...load, durationMs: bench.size(WARM_UP_MS, 2_000) });
  const [beside, alone] = await alternate(
    run,
    async () => {
      // Seeding takes some seconds for 100,000 and a minute for 1,000,000.
      const seedMs = 5_000 + crowd / 10;
      const dueAtMs = Date.now() + seedMs;
      for (let left = crowd; left > 0; left -= 50_000) {
        const inMs = dueAtMs - Date.now();
        const count = Math.min(left, 50_000);
        const range = { fromMs: inMs, toMs: inMs + 1_000 };
        await seed(belfry, { count, ...range, sinkPort: bench.sinkPort, projectId: OTHER_PROJECT });
      }
      if (Date.now() > dueAtMs - 2_000) throw new Error('seeding has taken too long');
      await new Promise((resolve) => setTimeout(resolve, dueAtMs - 2_000 - Date.now()));
      return neighbour(bench, belfry, { ...load, others: crowd });
    },
    () => neighbour(bench, belfry, load),
  );
  const prefix = `beside ${crowd.toLocaleString('en-US')} due within a second: `;
  const p99 = { ours: beside.lateness.p99, floor: alone.lateness.p99 };
  bench.record({
    name: `${prefix}p50 late`,
    unit: 'ms',
    ours: beside.lateness.p50,
    floor: alone.lateness.p50,
  });
  bench.record({
    name: `${prefix}p99 late`,
    unit: 'ms',
    ...p99,
    bars: [{ of: 'ours', atMost: Math.max(100, Math.round(3 * p99.floor)) }],
  });
  bench.record({
    name: `${prefix}create, p99`,
    unit: 'ms',
    ours: beside.createP99,
    floor: alone.createP99,
    bars: [{ of: 'ours', atMost: 250 }],
  });
  recordMachine(bench, prefix, beside, alone);
  bench.record({
    name: `${prefix}resident memory, most`,
    unit: 'MB',
    ours: beside.residentMb,
    bars: [{ of: 'ours', atMost: 512 }],
  });
  bench.record({ name: `${prefix}twice`, unit: '', ours: beside.twice });
}

/** Timers at a steady rate; resolves once all have arrived, with `others` that come besides. */
async function neighbour(
  bench: Bench,
  belfry: Belfry,
  load: { perSecond: number; durationMs: number; others?: number },
) {
  const { sink, driver, sinkPort } = bench;
  const { perSecond, durationMs, others = 0 } = load;
  await sink.call('reset');
  const stopProbe = await startDiskProbe(belfry.dataDir);
  const stolen = startStolenMeter();
  let mostMb = 0;
  const sampler = setInterval(() => {
    mostMb = Math.max(mostMb, residentMb(belfry.pid));
  }, SAMPLE_EVERY_MS);
  try {
    const made = await driver.call('create', {
      port: belfry.port,
      sinkPort,
      client: 'raw',
      connections: CONNECTIONS,
      pace: { kind: 'open', perSecond, durationMs },
      due: DUE,
    });
    // As long as creates are made.
    const synced = await stopProbe();
    assertAccepted(made);
    const distinct = made.created + others;
    const deadlineMs = 60_000 + others;
    const arrived = await sink.call('waitFor', { distinct, deadlineMs });
    if (arrived.distinct < distinct) throw new Error(`${arrived.distinct} of ${distinct} arrived`);
    const { early, earliestMs } = arrived;
    // Never by Belfry's doing. A virtual machine that is moved has its clock set.
    if (early > 0) bench.note(`${early} came early, by up to ${earliestMs.toFixed(1)} ms`);
    if (others > 0) await settled(belfry);
    return {
      lateness: arrived.lateness,
      createP99: made.latency.p99,
      syncP99: synced.p99,
      stolenPercent: stolen(),
      twice: arrived.arrivals - arrived.distinct,
      residentMb: mostMb,
    };
  } finally {
    clearInterval(sampler);
    await stopProbe();
  }
}
