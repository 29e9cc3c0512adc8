import { setTimeout as sleep } from 'node:timers/promises';
import { alternate, recordCpu, type Bench, type Scenario } from '../harness/bench.ts';
import { startChild } from '../harness/child.ts';
import { cpuPerTimer, cpuSinceBirthMs, startMeter } from '../harness/processUsage.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import type { BareLoopHandlers } from '../floors/bareLoop.ts';
import { seed, settled } from '../store.ts';
import { bestLoop, type Delivered } from './undiciLoop.ts';

const DEADLINE_MS = 120_000;
/** Due this long after seeding: the service must be down by then. */
const DOWN_BY_MS = 8_000;

export const drain: Scenario = {
  name: 'drain',
  title: 'what fell due while the service was down, first to last arrival / undici loop',
  async run(bench) {
    await using belfry = await startBelfry();
    const count = bench.size(50_000, 5_000);
    for (const run of bench.runs) {
      const [service, bare] = await alternate(
        run,
        () => drainAfterStart(bench, belfry, count),
        () => freshLoop(bench, count),
      );
      const pair = { ours: service.perSecond, floor: bare.perSecond };
      const bars = [{ of: 'ratio', atLeast: 0.42 }] as const;
      bench.record({ name: 'timers', unit: '/s', ...pair, bars });
      recordCpu(bench, '', service.cpu, bare.cpu);
    }
  },
};

/** The service has just been started and is cold: so is the loop that it is compared with. */
async function freshLoop(bench: Bench, count: number): Promise<Delivered> {
  await using loop = await startChild<BareLoopHandlers>(
    new URL('../floors/bareLoop.ts', import.meta.url),
  );
  return await bestLoop(bench, loop, count);
}

async function drainAfterStart(bench: Bench, belfry: Belfry, count: number): Promise<Delivered> {
  const { sink, sinkPort } = bench;
  await sink.call('reset');
  await seed(belfry, { count, sinkPort, fromMs: DOWN_BY_MS, toMs: DOWN_BY_MS + 1_000 });
  await belfry.stop();
  await sleep(DOWN_BY_MS + 1_000);
  if ((await sink.call('report')).arrivals > 0) throw new Error('the service stopped too late');
  const read = startMeter({ sink: { kind: 'process', pid: sink.pid } });
  await belfry.start();
  const perSecond = await drained(bench, belfry, count);
  // It delivers before it is seen to be ready: its own start is in its CPU, some µs a timer.
  const cpuMs = { ...cpuSinceBirthMs(belfry.metered), ...read().cpuMs };
  return { perSecond, cpu: cpuPerTimer({ cpuMs }, count) };
}

/** Overdue rows appear under a running service, as when a whole backlog is restored at once. */
export async function drainInPlace(
  bench: Bench,
  belfry: Belfry,
  count: number,
): Promise<Delivered> {
  const { sink, sinkPort } = bench;
  await sink.call('reset');
  const read = startMeter({ ...belfry.metered, sink: { kind: 'process', pid: sink.pid } });
  await seed(belfry, { count, sinkPort, fromMs: -60_000, toMs: -1_000 });
  const perSecond = await drained(bench, belfry, count);
  return { perSecond, cpu: cpuPerTimer(read(), count) };
}

/** Timers a second from the first arrival to the last. */
async function drained(bench: Bench, belfry: Belfry, count: number): Promise<number> {
  const arrivals = await bench.sink.call('waitFor', { distinct: count, deadlineMs: DEADLINE_MS });
  if (arrivals.distinct < count) throw new Error(`${arrivals.distinct} of ${count} arrived`);
  await settled(belfry);
  return (count / (arrivals.lastMs - arrivals.firstMs)) * 1000;
}
