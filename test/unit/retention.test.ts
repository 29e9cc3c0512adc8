import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dayMs, type PartitionedTable } from '../../src/core/partitionPlan.ts';
import { createRetention, type RetentionStore } from '../../src/scheduler/retention.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

const nowMs = 1_000 * dayMs;

/** A store with daily partitions so many days ago; tells the steps that were taken, in their order. */
function fakeStore(daysAgo: readonly [PartitionedTable, number][], busy: readonly string[] = []) {
  const steps: string[] = [];
  const detached: Awaited<ReturnType<RetentionStore['detached']>> = [
    { table: 'history_failed', name: 'left', pages: 300, rows: null },
  ];
  const store: RetentionStore = {
    readPartitions: () =>
      Promise.resolve({
        nowMs,
        partitions: daysAgo.map(([table, days]) => ({
          table,
          name: `${table} ${days}`,
          fromMs: nowMs - days * dayMs,
          toMs: nowMs - (days - 1) * dayMs,
        })),
      }),
    detach({ name, table }) {
      steps.push(`detach ${name}`);
      if (busy.includes(name)) return Promise.resolve('busy');
      detached.push({ table, name, pages: 1, rows: 0 });
      return Promise.resolve('detached');
    },
    detached: () => Promise.resolve(detached),
    forgetLabels({ name }, fromPage, pages) {
      steps.push(`labels of ${name} from ${fromPage}, ${pages}`);
      return Promise.resolve(0);
    },
    drop({ name }) {
      steps.push(`drop ${name}`);
      return Promise.resolve(true);
    },
    deleteRest(table) {
      steps.push(`rest of ${table}`);
      return Promise.resolve({ rows: 0, labels: 0 });
    },
  };
  return { store, steps };
}

async function stepsOf({ store, steps }: ReturnType<typeof fakeStore>, upTo = Infinity) {
  let left = upTo;
  await createRetention({
    store,
    retention: { historyMs: 10 * dayMs, failedMs: 20 * dayMs },
    metrics: createMetrics(() => 0),
    log: silentLog(),
  }).run({ mayGoOn: () => Promise.resolve(left-- > 0) });
  return steps;
}

const rest = ['rest of history_done', 'rest of history_failed', 'rest of attempts'];
const leftover = [
  'labels of left from 0, 128',
  'labels of left from 128, 128',
  'labels of left from 256, 128',
  'drop left',
];

test('a run takes out the oldest first, drops after the labels, and finishes what was left', async () => {
  const fake = fakeStore([
    ['history_done', 11],
    ['history_done', 10],
    ['history_failed', 20],
    ['attempts', 21],
    ['history_failed', 22],
  ]);
  assert.deepEqual(await stepsOf(fake), [
    'detach history_failed 22',
    'detach attempts 21',
    'detach history_done 11',
    ...leftover,
    'labels of history_failed 22 from 0, 128',
    'drop history_failed 22',
    'drop attempts 21',
    'labels of history_done 11 from 0, 128',
    'drop history_done 11',
    ...rest,
  ]);
});

test('where one partition is busy no other is tried in this run, and the other steps are done', async () => {
  const fake = fakeStore(
    [
      ['history_done', 12],
      ['history_done', 11],
    ],
    ['history_done 12'],
  );
  assert.deepEqual(await stepsOf(fake), ['detach history_done 12', ...leftover, ...rest]);
});

test('a backlog is worked off a few partitions a run', async () => {
  const fake = fakeStore(
    Array.from({ length: 40 }, (_, index): [PartitionedTable, number] => ['attempts', 60 - index]),
  );
  const detached = (await stepsOf(fake)).filter((step) => step.startsWith('detach'));
  assert.deepEqual(
    detached,
    [60, 59, 58, 57, 56, 55].map((days) => `detach attempts ${days}`),
  );
});

test('no step is taken without asking first', async () => {
  const partitions: [PartitionedTable, number][] = [['history_done', 30]];
  const all = await stepsOf(fakeStore(partitions));
  for (let upTo = 0; upTo <= all.length; upTo++) {
    assert.deepEqual(await stepsOf(fakeStore(partitions), upTo), all.slice(0, upTo));
  }
});
