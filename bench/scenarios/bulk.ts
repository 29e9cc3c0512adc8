import { alternate, recordCpu, type Bench, type Scenario } from '../harness/bench.ts';
import { startChild, type Child } from '../harness/child.ts';
import { cpuPerTimer, startMeter } from '../harness/processUsage.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import type { BareInsertHandlers } from '../floors/bareInsert.ts';
import type { StoreCreatorHandlers } from '../storeCreator.ts';
import { clear } from '../store.ts';

/** Both are told the same: where the table is and how many rows. */
type Inserter = Child<StoreCreatorHandlers> | Child<BareInsertHandlers>;

export const bulk: Scenario = {
  name: 'bulk',
  title: 'create through the store, 500 rows a commit / raw unnest insert of the same rows',
  async run(bench) {
    await using belfry = await startBelfry();
    await using store = await startChild<StoreCreatorHandlers>(
      new URL('../storeCreator.ts', import.meta.url),
    );
    await using raw = await startChild<BareInsertHandlers>(
      new URL('../floors/bareInsert.ts', import.meta.url),
    );
    const count = bench.size(100_000, 10_000);
    const ours = () => insertInto(belfry, store, count);
    const floor = () => insertInto(belfry, raw, count);
    await ours();
    await floor();
    for (const run of bench.runs) {
      const [service, bare] = await alternate(run, ours, floor);
      record(bench, service, bare);
    }
  },
};

interface Inserted {
  readonly perSecond: number;
  readonly cpu: Record<string, number>;
}

async function insertInto(belfry: Belfry, inserter: Inserter, count: number): Promise<Inserted> {
  await clear(belfry);
  await belfry.query('CHECKPOINT');
  const { postgres } = belfry.metered;
  const read = startMeter({ postgres, inserter: { kind: 'process', pid: inserter.pid } });
  await inserter.call('create', { databaseUrl: belfry.databaseUrl, count });
  const usage = read();
  const { rows } = await belfry.query('SELECT count(*)::integer AS rows FROM belfry.timers');
  if (rows[0]?.rows !== count) throw new Error(`${rows[0]?.rows} of ${count} rows are there`);
  return { perSecond: (count / usage.elapsedMs) * 1000, cpu: cpuPerTimer(usage, count) };
}

function record(bench: Bench, service: Inserted, bare: Inserted): void {
  bench.record({
    name: 'timers',
    unit: '/s',
    ours: service.perSecond,
    floor: bare.perSecond,
    bars: [{ of: 'ratio', atLeast: 0.7 }],
  });
  recordCpu(bench, '', service.cpu, bare.cpu);
}
