import { alternate, recordCpu, type Bench, type Scenario } from '../harness/bench.ts';
import { startChild, type Child } from '../harness/child.ts';
import { cpuPerTimer, startMeter, type Metered } from '../harness/processUsage.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import type { BareInsertHandlers } from '../floors/bareInsert.ts';
import type { StoreCreatorHandlers } from '../storeCreator.ts';
import { clear } from '../store.ts';

const BATCH_TIMERS = 10_000;
const BATCH_CONNECTIONS = 2;

/** What inserts so many rows, and the processes that it takes. */
interface Inserter {
  readonly metered: Readonly<Record<string, Metered>>;
  insert(count: number): Promise<unknown>;
}

export const bulk: Scenario = {
  name: 'bulk',
  title:
    'create through the store, 500 rows a commit, and over HTTP as lines, 10,000 a request / raw unnest insert of the same rows',
  async run(bench) {
    await using belfry = await startBelfry();
    await using store = await startChild<StoreCreatorHandlers>(
      new URL('../storeCreator.ts', import.meta.url),
    );
    await using raw = await startChild<BareInsertHandlers>(
      new URL('../floors/bareInsert.ts', import.meta.url),
    );
    const count = bench.size(100_000, 10_000);
    const { databaseUrl } = belfry;
    const inChild = (child: Child<StoreCreatorHandlers> | Child<BareInsertHandlers>): Inserter => ({
      metered: { inserter: { kind: 'process', pid: child.pid } },
      insert: (rows) => child.call('create', { databaseUrl, count: rows }),
    });
    const asLines: Inserter = {
      metered: { inserter: belfry.metered.belfry },
      insert: (rows) =>
        bench.driver.call('createBatches', {
          port: belfry.port,
          connections: BATCH_CONNECTIONS,
          requests: rows / BATCH_TIMERS,
          timersEach: BATCH_TIMERS,
        }),
    };
    const run = (inserter: Inserter) => () => insertInto(belfry, inserter, count);
    const floor = run(inChild(raw));
    for (const way of [
      { name: 'store', ours: run(inChild(store)), atLeast: 0.7 },
      { name: 'lines over HTTP', ours: run(asLines), atLeast: 0.35 },
    ]) {
      await way.ours();
      await floor();
      for (const number of bench.runs) {
        const [service, bare] = await alternate(number, way.ours, floor);
        record(bench, way, service, bare);
      }
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
  const read = startMeter({ postgres, ...inserter.metered });
  await inserter.insert(count);
  const usage = read();
  const { rows } = await belfry.query('SELECT count(*)::integer AS rows FROM belfry.timers');
  if (rows[0]?.rows !== count) throw new Error(`${rows[0]?.rows} of ${count} rows are there`);
  return { perSecond: (count / usage.elapsedMs) * 1000, cpu: cpuPerTimer(usage, count) };
}

function record(
  bench: Bench,
  { name, atLeast }: { name: string; atLeast: number },
  service: Inserted,
  bare: Inserted,
): void {
  bench.record({
    name: `${name}: timers`,
    unit: '/s',
    ours: service.perSecond,
    floor: bare.perSecond,
    bars: [{ of: 'ratio', atLeast }],
  });
  recordCpu(bench, `${name}: `, service.cpu, bare.cpu);
}
