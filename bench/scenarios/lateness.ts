import { alternate, recordCpu, type Bench, type Scenario } from '../harness/bench.ts';
import { startChild, type Child } from '../harness/child.ts';
import { cpuPerTimer, startMeter, type Metered } from '../harness/processUsage.ts';
import { startBelfry } from '../belfry.ts';
import type { Pace } from '../driver.ts';
import type { BareHeapHandlers } from '../floors/bareHeap.ts';
import type { Arrivals } from '../sink.ts';
import { assertAccepted } from './create.ts';

const RATES = [100, 1_000, 3_000];
const AHEAD_FROM_MS = 5_000;
const AHEAD_TO_MS = 10_000;
const CONNECTIONS = 32;
const DEADLINE_MS = 60_000;

/**
 * Two readings of "at R timers a second, due 5–10 s ahead", each with a floor that carries the same
 * load. `arriving`: timers keep being created at R/s over HTTP while earlier ones fire; the floor
 * takes the same creates into its heap. `waiting`: all exist before the first is due, and R/s fire
 * with nothing else going on; the floor gets its due times as a list.
 */
export const lateness: Scenario = {
  name: 'lateness',
  title: 'due at random ms 5–10 s ahead / in-memory heap + undici under the same load',
  async run(bench) {
    await using belfry = await startBelfry();
    await using heap = await startChild<BareHeapHandlers>(
      new URL('../floors/bareHeap.ts', import.meta.url),
    );
    const floor = { port: await heap.call('listen'), metered: metered(heap) };
    const inHeap = async (rate: number) => {
      await heap.call('anchor');
      return arriving(bench, floor, rate);
    };
    await arriving(bench, belfry, 1_000);
    await inHeap(1_000);
    for (const rate of bench.size(RATES, [1_000])) {
      for (const run of bench.runs) {
        const [service, bare] = await alternate(
          run,
          () => arriving(bench, belfry, rate),
          () => inHeap(rate),
        );
        record(bench, { prefix: `${rate}/s arriving: `, rate, service, bare });
        const [held, listed] = await alternate(
          run,
          () => waiting(bench, belfry, rate),
          () => listedInHeap(bench, heap, rate),
        );
        record(bench, { prefix: `${rate}/s waiting: `, rate, service: held, bare: listed });
      }
    }
  },
};

interface Target {
  readonly port: number;
  readonly metered: Readonly<Record<string, Metered>>;
}

export interface Fired extends Arrivals {
  readonly cpu: Record<string, number>;
}

/** Creates at the rate for 12 s: from the tenth second to the twelfth both go on at full rate. */
export async function arriving(bench: Bench, target: Target, rate: number): Promise<Fired> {
  const durationMs = bench.size(12_000, 3_000);
  const due = { kind: 'ahead', fromMs: AHEAD_FROM_MS, toMs: AHEAD_TO_MS } as const;
  return createAndFire(bench, target, {
    pace: { kind: 'open', perSecond: rate, durationMs },
    due,
  });
}

/** As many as fill five seconds at the rate, all created in the first two to five. */
async function waiting(bench: Bench, target: Target, rate: number): Promise<Fired> {
  const nowMs = Date.now();
  return createAndFire(bench, target, {
    pace: { kind: 'closedCount', count: (rate * (AHEAD_TO_MS - AHEAD_FROM_MS)) / 1000 },
    due: { kind: 'between', fromMs: nowMs + AHEAD_FROM_MS, toMs: nowMs + AHEAD_TO_MS },
  });
}

async function createAndFire(
  bench: Bench,
  { port, metered }: Target,
  load: { pace: Pace; due: { kind: 'ahead' | 'between'; fromMs: number; toMs: number } },
): Promise<Fired> {
  const { driver, sink, sinkPort } = bench;
  await sink.call('reset');
  const read = startMeter({ ...metered, sink: { kind: 'process', pid: sink.pid } });
  const made = await driver.call('create', {
    ...load,
    port,
    sinkPort,
    client: 'raw',
    connections: CONNECTIONS,
  });
  assertAccepted(made);
  return fired(bench, made.created, read);
}

async function listedInHeap(
  bench: Bench,
  heap: Child<BareHeapHandlers>,
  rate: number,
): Promise<Fired> {
  const { sink, sinkPort } = bench;
  await sink.call('reset');
  const read = startMeter({ ...metered(heap), sink: { kind: 'process', pid: sink.pid } });
  const nowMs = Date.now();
  const spanMs = AHEAD_TO_MS - AHEAD_FROM_MS;
  const count = (rate * spanMs) / 1000;
  const dueMs = Array.from({ length: count }, () =>
    Math.floor(nowMs + AHEAD_FROM_MS + Math.random() * spanMs),
  );
  await heap.call('add', { sinkPort, dueMs });
  return fired(bench, count, read);
}

async function fired(
  bench: Bench,
  count: number,
  read: ReturnType<typeof startMeter>,
): Promise<Fired> {
  const arrivals = await bench.sink.call('waitFor', { distinct: count, deadlineMs: DEADLINE_MS });
  if (arrivals.distinct < count) throw new Error(`${arrivals.distinct} of ${count} arrived`);
  return { ...arrivals, cpu: cpuPerTimer(read(), count) };
}

/** The names of the parts are those of ours, so that the floor stands beside the service. */
function metered(heap: Child<BareHeapHandlers>): Record<string, Metered> {
  return { belfry: { kind: 'process', pid: heap.pid } };
}

/** ms; what the issue names as goals to go past. */
const GOALS: Partial<Record<number, { p50?: number; p99: number }>> = {
  1_000: { p50: 1, p99: 10 },
  3_000: { p99: 40 },
};

function record(
  bench: Bench,
  { prefix, rate, service, bare }: { prefix: string; rate: number; service: Fired; bare: Fired },
): void {
  const goals = GOALS[rate];
  const goal = (atMost: number | undefined) =>
    atMost === undefined ? [] : [{ of: 'ours', atMost, goal: true } as const];
  const row = (quantile: 'p50' | 'p90' | 'p99' | 'max') =>
    ({
      name: `${prefix}${quantile}`,
      unit: 'ms',
      ours: service.lateness[quantile],
      floor: bare.lateness[quantile],
    }) as const;
  bench.record({ ...row('p50'), bars: goal(goals?.p50) });
  bench.record(row('p90'));
  bench.record({ ...row('p99'), bars: [{ of: 'ratio', atMost: 2 }, ...goal(goals?.p99)] });
  bench.record(row('max'));
  bench.record({
    name: `${prefix}early`,
    unit: '',
    ours: service.early,
    floor: bare.early,
    bars: [{ of: 'ours', atMost: 0 }],
  });
  bench.record({ name: `${prefix}twice`, unit: '', ours: service.arrivals - service.distinct });
  recordCpu(bench, prefix, service.cpu, bare.cpu);
}
