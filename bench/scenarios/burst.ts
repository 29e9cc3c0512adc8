import { alternate, recordCpu, type Bench, type Scenario } from '../harness/bench.ts';
import { startChild } from '../harness/child.ts';
import { cpuPerTimer, startMeter } from '../harness/processUsage.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import type { BareLoopHandlers } from '../floors/bareLoop.ts';
import { settled } from '../store.ts';
import { assertAccepted } from './create.ts';
import { bestLoop, type Delivered } from './undiciLoop.ts';

const DEADLINE_MS = 120_000;
/** Between the last create and the burst, at least. */
const LEAD_MS = 2_000;
/** Creates are slower than this nowhere that the bench makes sense. */
const CREATES_PER_MS = 3;

export const burst: Scenario = {
  name: 'burst',
  title: 'all due at the same instant, from then to the last arrival / bare undici POST loop',
  async run(bench) {
    await using belfry = await startBelfry();
    await using loop = await startChild<BareLoopHandlers>(
      new URL('../floors/bareLoop.ts', import.meta.url),
    );
    const count = bench.size(20_000, 2_000);
    await burstOf(bench, belfry, count);
    await bestLoop(bench, loop, count);
    for (const run of bench.runs) {
      const [service, bare] = await alternate(
        run,
        () => burstOf(bench, belfry, count),
        () => bestLoop(bench, loop, count),
      );
      const pair = { ours: service.perSecond, floor: bare.perSecond };
      const bars = [{ of: 'ratio', atLeast: 0.38 }] as const;
      bench.record({ name: 'timers', unit: '/s', ...pair, bars });
      recordCpu(bench, '', service.cpu, bare.cpu);
    }
  },
};

/** Creates them over HTTP well before, then waits for the instant. */
export async function burstOf(bench: Bench, belfry: Belfry, count: number): Promise<Delivered> {
  const { driver, sink, sinkPort } = bench;
  await sink.call('reset');
  const dueMs = Math.ceil(Date.now() + 2 * LEAD_MS + count / CREATES_PER_MS);
  const made = await driver.call('create', {
    port: belfry.port,
    sinkPort,
    client: 'raw',
    connections: 128,
    pace: { kind: 'closedCount', count },
    due: { kind: 'between', fromMs: dueMs, toMs: dueMs },
  });
  assertAccepted(made);
  if (Date.now() > dueMs - LEAD_MS) throw new Error('creates were too slow for the burst');
  const read = startMeter({ ...belfry.metered, sink: { kind: 'process', pid: sink.pid } });
  const arrivals = await sink.call('waitFor', { distinct: count, deadlineMs: DEADLINE_MS });
  if (arrivals.distinct < count) throw new Error(`${arrivals.distinct} of ${count} arrived`);
  await settled(belfry);
  if (arrivals.early > 0) bench.note(`${arrivals.early} of a burst came early`);
  return {
    perSecond: (count / (arrivals.lastMs - dueMs)) * 1000,
    cpu: cpuPerTimer(read(), count),
  };
}
