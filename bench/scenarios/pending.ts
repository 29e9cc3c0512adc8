import { setTimeout as sleep } from 'node:timers/promises';
import type { Bar, Bench, Scenario } from '../harness/bench.ts';
import { residentMb, startMeter, treeProportionalMb } from '../harness/processUsage.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import { clear, seedFarFuture } from '../store.ts';
import { createFor } from './create.ts';
import { arriving } from './lateness.ts';

/**
 * A service for each number of pending timers, one running at a time: every level is seeded once
 * and measured in each run, beside the same figure of the run with none pending.
 */
export const pending: Scenario = {
  name: 'pending',
  title: 'cost of timers that only wait: with so many pending / with none (as "floor")',
  async run(bench) {
    const levels = [0, bench.size(200_000, 20_000), bench.size(1_000_000, 50_000)];
    await using stack = new AsyncDisposableStack();
    const services: { level: number; belfry: Belfry }[] = [];
    for (const level of levels) {
      const belfry = stack.use(await startBelfry());
      await seedFarFuture(belfry, level);
      await belfry.stop();
      services.push({ level, belfry });
    }
    for (const run of bench.runs) {
      const order = run % 2 === 0 ? services : services.toReversed();
      const figures = new Map<number, Figures>();
      for (const { level, belfry } of order) {
        await belfry.start();
        figures.set(level, await measure(bench, belfry));
        if (level === 0) await clear(belfry);
        await belfry.stop();
      }
      record(bench, levels, figures);
    }
  },
};

interface Figures {
  readonly memoryMb: number;
  readonly postgresMb: number;
  readonly idleBelfry: number;
  readonly idlePostgres: number;
  readonly latenessP50: number;
  readonly latenessP99: number;
  readonly createPerSecond: number;
}

async function measure(bench: Bench, belfry: Belfry): Promise<Figures> {
  const { metered } = belfry;
  await sleep(bench.size(10_000, 2_000));
  const read = startMeter(metered);
  await sleep(bench.size(20_000, 3_000));
  const { cpuMs, elapsedMs } = read();
  const share = (part: string) => (100 * (cpuMs[part] ?? NaN)) / elapsedMs;
  const memoryMb = residentMb(belfry.pid);
  const postgresMb = treeProportionalMb(metered.postgres.pid);
  // The first seconds of a process are its slowest; what is measured is a warm one.
  await createFor(bench, { ...belfry, client: 'raw', durationMs: 1_000 });
  const fired = await arriving(bench, belfry, bench.size(1_000, 200));
  const durationMs = bench.size(4_000, 1_000);
  const created = await createFor(bench, { ...belfry, client: 'raw', durationMs });
  return {
    memoryMb,
    postgresMb,
    idleBelfry: share('belfry'),
    idlePostgres: share('postgres'),
    latenessP50: fired.lateness.p50,
    latenessP99: fired.lateness.p99,
    createPerSecond: created.perSecond,
  };
}

function record(
  bench: Bench,
  levels: readonly number[],
  figures: ReadonlyMap<number, Figures>,
): void {
  const none = figures.get(0);
  for (const level of levels) {
    const here = figures.get(level);
    if (here === undefined || none === undefined) continue;
    const name = (what: string) => `${level.toLocaleString('en-US')}: ${what}`;
    const beside = (key: keyof Figures) =>
      level === 0 ? { ours: here[key] } : { ours: here[key], floor: none[key] };
    const ratio = (bar: Omit<Bar, 'of'>) => (level === 0 ? [] : [{ of: 'ratio', ...bar } as const]);
    const idle = [{ of: 'ours', atMost: 2 }] as const;
    bench.record({ name: name('memory of Belfry'), unit: 'MB', ...beside('memoryMb') });
    if (level > 0) {
      bench.record({
        name: name('memory above none pending'),
        unit: 'MB',
        ours: here.memoryMb - none.memoryMb,
        bars: [{ of: 'ours', atMost: 30 }],
      });
    }
    bench.record({ name: name('memory of Postgres'), unit: 'MB', ...beside('postgresMb') });
    const cpu = { unit: '%', bars: idle } as const;
    bench.record({ name: name('idle CPU of Belfry'), ...cpu, ...beside('idleBelfry') });
    bench.record({ name: name('idle CPU of Postgres'), ...cpu, ...beside('idlePostgres') });
    bench.record({ name: name('lateness p50'), unit: 'ms', ...beside('latenessP50') });
    bench.record({
      name: name('lateness p99'),
      unit: 'ms',
      ...beside('latenessP99'),
      bars: ratio({ atMost: 1.25 }),
    });
    bench.record({
      name: name('create'),
      unit: '/s',
      ...beside('createPerSecond'),
      bars: ratio({ atLeast: 0.8 }),
    });
  }
}
