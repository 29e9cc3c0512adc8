import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dayMs } from '../../src/core/partitionPlan.ts';
import { ensurePartitions, readPartitions } from '../../src/store/partitions.ts';
import { startTestApp } from '../support/app.ts';
import { defaultRetention, createTestDatabase, openDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { metric } from '../support/metrics.ts';
import {
  always,
  createOldPartition,
  insertFinished,
  leftIds,
  retentionOf,
  tableNames,
} from '../support/retention.ts';

test('what is past its retention goes, by whole partitions, failed timers apart from the others', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  const prepared = await tableNames(database);
  const old = (table: 'history_done' | 'history_failed' | 'attempts', from: number, to: number) =>
    createOldPartition(database, { table, from, to });
  await old('history_done', 32, 31);
  await old('history_done', 31, 30);
  const kept = [
    // It ends 29 days ago: its last hour is not 30 days old yet, at any time of the day.
    await old('history_done', 30, 29),
    await old('history_failed', 32, 30),
    await old('history_failed', 90, 89),
    await old('attempts', 90, 30),
  ];
  await old('history_failed', 93, 90);
  await old('attempts', 93, 90);
  await insertFinished(database, { firstId: 1, daysAgo: 32 });
  await insertFinished(database, { firstId: 2, daysAgo: 31, status: 'cancelled' });
  await insertFinished(database, { firstId: 3, daysAgo: 30 });
  await insertFinished(database, { firstId: 4, daysAgo: 32, status: 'failed' });
  await insertFinished(database, { firstId: 5, daysAgo: 90, status: 'failed' });
  await insertFinished(database, { firstId: 6, daysAgo: 91, status: 'failed' });
  await insertFinished(database, { firstId: 7, daysAgo: 0 });

  await retentionOf(database).run(always);

  assert.deepEqual(await leftIds(database), {
    history: [3, 4, 5, 7],
    // Also those of timers that are gone: attempts stay as long as failed timers do.
    attempts: [1, 2, 3, 4, 5, 7],
    labels: [3, 4, 5, 7],
  });
  assert.deepEqual(await tableNames(database), [...prepared, ...kept].toSorted());
});

test('kept for ever means that nothing goes', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  await createOldPartition(database, { table: 'history_done', from: 4_000, to: 3_990 });
  await createOldPartition(database, { table: 'history_failed', from: 4_000, to: 3_990 });
  await createOldPartition(database, { table: 'attempts', from: 4_000, to: 3_990 });
  await insertFinished(database, { firstId: 1, daysAgo: 3_995 });
  await insertFinished(database, { firstId: 2, daysAgo: 3_995, status: 'failed' });
  await insertFinished(database, { firstId: 3, daysAgo: 3_000 });
  const before = await tableNames(database);
  await retentionOf(database, { historyMs: Infinity, failedMs: Infinity }).run(always);
  assert.deepEqual(await tableNames(database), before);
  await retentionOf(database, { historyMs: Infinity, failedMs: dayMs }).run(always);
  const { history, attempts } = await leftIds(database);
  assert.deepEqual(
    [history, attempts],
    [
      [1, 3],
      [1, 2, 3],
    ],
  );
});

test('a timer whose history was dropped is not found, nor are its attempts, which are kept longer', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  await createOldPartition(database, { table: 'history_done', from: 40, to: 39 });
  await insertFinished(database, { firstId: 1, daysAgo: 40 });
  await insertFinished(database, { firstId: 2, daysAgo: 40, status: 'failed' });
  await using app = await startTestApp(db.url);
  const statuses = async () => {
    const paths = ['/timers/1', '/timers/1/attempts', '/timers/2', '/timers/2/attempts'];
    const answers = await Promise.all(paths.map((path) => app.get(path)));
    return answers.map(({ status }) => status);
  };
  assert.deepEqual(await statuses(), [200, 200, 200, 200]);
  await retentionOf(database).run(always);
  assert.deepEqual(await statuses(), [404, 404, 200, 200]);
  assert.deepEqual((await leftIds(database)).attempts, [1, 2]);
});

test('what lies outside any partition goes row by row when it is too old, with its labels', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  await insertFinished(database, { firstId: 1, daysAgo: 40, count: 2_500 });
  await insertFinished(database, { firstId: 5_001, daysAgo: 29 });
  await insertFinished(database, { firstId: 5_002, daysAgo: 40, status: 'failed' });
  await insertFinished(database, { firstId: 5_003, daysAgo: 100, status: 'failed' });
  await retentionOf(database).run(always);
  const { history, attempts, labels } = await leftIds(database);
  assert.deepEqual(history, [5_001, 5_002]);
  assert.deepEqual(labels, [5_001, 5_002]);
  assert.equal(attempts.length, 2_502);
  assert.ok(!attempts.includes(5_003));
});

test('a run that ends at any of its steps is made up for by the next, and never touches what stays', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  const before = await tableNames(database);
  for (let steps = 0; ; steps++) {
    await createOldPartition(database, { table: 'history_done', from: 40, to: 39 });
    await createOldPartition(database, { table: 'attempts', from: 100, to: 99 });
    await insertFinished(database, { firstId: 1, daysAgo: 40, count: 5_000, labels: ['x'] });
    await insertFinished(database, { firstId: 9_000, daysAgo: 41 });
    await insertFinished(database, { firstId: 9_001, daysAgo: 1 });
    let left = steps;
    await retentionOf(database).run({ mayGoOn: () => Promise.resolve(left-- > 0) });
    const { history, labels } = await leftIds(database);
    assert.ok(history.includes(9_001) && labels.includes(9_001), `after ${steps} steps`);
    // Autovacuum may hold a partition: such a run leaves it to the next, and is over sooner.
    const isWhole = left >= 0 && (await tableNames(database)).length === before.length;
    await retentionOf(database).run(always);
    assert.deepEqual(await tableNames(database), before, `after ${steps} steps`);
    const end = await leftIds(database);
    assert.deepEqual([end.history, end.labels], [[9_001], [9_001]], `after ${steps} steps`);
    await sql(database, 'TRUNCATE belfry.history, belfry.attempts, belfry.timer_labels');
    if (isWhole) {
      // Two to detach, two to drop, three of the rest, and at least one for the labels.
      assert.ok(steps >= 8, `${steps} steps`);
      return;
    }
  }
});

test('a timer that was taken back from history keeps its labels when its old partition goes', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  await createOldPartition(database, { table: 'history_done', from: 40, to: 39 });
  await insertFinished(database, { firstId: 1, daysAgo: 40, count: 3 });
  await sql(database, 'DELETE FROM belfry.history WHERE id = 2');
  await retentionOf(database).run(always);
  assert.deepEqual((await leftIds(database)).labels, [2]);
});

test('whatever the settings become, partitions stand side by side without a gap for the days to come', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const settings = [30, 365, 1, 90, 3_650, 60].map((days) => ({
    historyMs: days * dayMs,
    failedMs: days === 1 ? Infinity : 2 * days * dayMs,
  }));
  const databases = settings.map(() => openDatabase(db.url));
  try {
    for (let round = 0; round < 6; round++) {
      // As if days had passed: what was prepared last is not there yet.
      const { partitions } = await readPartitions(db.database);
      for (const { name } of partitions.filter((_, index) => index % 3 !== round % 3)) {
        await sql(db.database, `DROP TABLE belfry.${name}`);
      }
      // Processes that disagree, all at once.
      await Promise.all(
        settings.map((retention, index) =>
          ensurePartitions(databases[(index + round) % settings.length] ?? db.database, retention),
        ),
      );
      const after = await readPartitions(db.database);
      for (const table of ['history_done', 'history_failed', 'attempts'] as const) {
        const own = after.partitions.filter((partition) => partition.table === table);
        const todayMs = Math.floor(after.nowMs / dayMs) * dayMs;
        assert.ok((own[0]?.fromMs ?? Infinity) <= todayMs);
        assert.ok((own.at(-1)?.toMs ?? 0) >= todayMs + 8 * dayMs);
        for (const [index, { fromMs }] of own.slice(1).entries()) {
          assert.equal(fromMs, own[index]?.toMs, `${table}, round ${round}`);
        }
      }
    }
    assert.deepEqual(await ensurePartitions(db.database, defaultRetention), []);
  } finally {
    for (const database of databases) await database.close();
  }
});

test('bounds are read aright in any time zone and style of dates', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const expected = (await readPartitions(db.database)).partitions;
  assert.ok(expected.every(({ fromMs, toMs }) => fromMs % dayMs === 0 && toMs % dayMs === 0));
  const other = openDatabase(db.url);
  try {
    const seen = await other.session(async (client) => {
      await client.query(`SET timezone = 'America/St_Johns'; SET datestyle = 'German, DMY'`);
      const query = async <Row extends readonly unknown[]>(
        { text }: { text: string },
        values: readonly unknown[] = [],
      ) =>
        (await client.query<Row & unknown[]>({ text, values: [...values], rowMode: 'array' })).rows;
      return readPartitions({ ...other, query });
    });
    assert.deepEqual(seen.partitions, expected);
  } finally {
    await other.close();
  }
});

test('the service does it by its settings: partitions as wide as they say, and what is past them goes', async () => {
  await using db = await createTestDatabase({ empty: true });
  const settings = { HISTORY_RETENTION: String(45 * 86_400), FAILED_RETENTION: 'forever' };
  await using app = await startTestApp(db.url, settings);
  const { database } = db;
  const { partitions } = await readPartitions(database);
  const widths = new Set(
    partitions.map(({ table, fromMs, toMs }) => `${table}: ${(toMs - fromMs) / dayMs} days`),
  );
  assert.deepEqual(
    [...widths],
    ['attempts: 90 days', 'history_done: 2 days', 'history_failed: 90 days'],
  );
  const past = await createOldPartition(database, { table: 'history_done', from: 47, to: 45 });
  const kept = await createOldPartition(database, { table: 'history_failed', from: 47, to: 45 });
  await insertFinished(database, { firstId: 1, daysAgo: 46 });
  await insertFinished(database, { firstId: 2, daysAgo: 46, status: 'failed' });
  await eventually('the drop', async () => !(await tableNames(database)).includes(past));
  assert.ok((await tableNames(database)).includes(kept));
  assert.deepEqual((await leftIds(database)).history, [2]);
  await eventually(
    'its metric',
    async () => (await metric(app.url, 'belfry_partitions_dropped_total')) === 1,
  );
  assert.equal(await metric(app.url, 'belfry_past_rows_deleted_total'), 2, 'labels');
});
