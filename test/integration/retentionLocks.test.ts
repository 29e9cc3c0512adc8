import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { createOutcomeRecorder } from '../../src/store/outcomes.ts';
import {
  ensurePartitions,
  partitionLockTimeoutMs,
  readPartitions,
} from '../../src/store/partitions.ts';
import { createTimerReader } from '../../src/store/readTimers.ts';
import type { Database } from '../../src/store/database.ts';
import { defaultRetention, createTestDatabase, openDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  always,
  createOldPartition,
  insertFinished,
  leftIds,
  retentionOf,
  tableNames,
} from '../support/retention.ts';
import { attemptOf, insertMany, registerOwner } from '../support/storedTimers.ts';

/** Beside the lock's timeout: what a crowded machine and its disk may add to a statement, which gives up after 5 s. */
const noiseMs = 2_500;

/** Holds a transaction open that has read what `text` reads. */
async function longReader(url: string, text: string): Promise<AsyncDisposable> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN');
  await client.query(text);
  return { [Symbol.asyncDispose]: () => client.end() };
}

/**
 * Records outcomes and reads timers, each as soon as the one before has ended, until told to stop.
 * Resolves with the longest that one of either took.
 */
function startTraffic(database: Database): {
  stop(): Promise<{ recorded: number; recordMs: number; readMs: number }>;
} {
  const recorder = createOutcomeRecorder(database);
  const reader = createTimerReader(database);
  const seen = { recorded: 0, recordMs: 0, readMs: 0 };
  let isStopped = false;
  async function record(): Promise<void> {
    const owner = await registerOwner(database);
    while (!isStopped) {
      await insertMany(database, { count: 20, dueInMs: '0' });
      for (const timer of (await owner.sweep()).timers) {
        const startMs = performance.now();
        const attempt = attemptOf(200);
        assert.equal(
          await recorder.add({ timer, verdict: { kind: 'succeeded' }, attempt }),
          'recorded',
        );
        seen.recorded += 1;
        seen.recordMs = Math.max(seen.recordMs, performance.now() - startMs);
      }
    }
  }
  async function read(): Promise<void> {
    while (!isStopped) {
      const startMs = performance.now();
      await reader.read(1, 1 as never);
      seen.readMs = Math.max(seen.readMs, performance.now() - startMs);
    }
  }
  const loops = Promise.all([record(), read()]);
  return {
    async stop() {
      isStopped = true;
      await loops;
      return seen;
    },
  };
}

test('a long reader of history is left alone, nobody waits noticeably behind, and afterwards it is done', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  const before = await tableNames(database);
  const past = [
    await createOldPartition(database, { table: 'attempts', from: 99, to: 95 }),
    await createOldPartition(database, { table: 'history_done', from: 40, to: 39 }),
  ];
  await insertFinished(database, { firstId: 1_000_000, daysAgo: 40 });
  const others = openDatabase(db.url);
  const reader = await longReader(db.url, 'SELECT count(*) FROM belfry.history, belfry.attempts');
  const traffic = startTraffic(others);
  try {
    for (let run = 0; run < 5; run++) await retentionOf(database).run(always);
    assert.deepEqual(await tableNames(database), [...before, ...past].toSorted());
    assert.ok((await leftIds(database)).history.includes(1_000_000));
  } finally {
    await traffic.stop();
    await reader[Symbol.asyncDispose]();
    await others.close();
  }
  const { recorded, recordMs, readMs } = await traffic.stop();
  assert.ok(recorded > 20, `${recorded} recorded`);
  const waitedMs = Math.max(recordMs, readMs);
  assert.ok(waitedMs < partitionLockTimeoutMs + noiseMs, `${recordMs} ms, ${readMs} ms`);
  await retentionOf(database).run(always);
  assert.deepEqual(await tableNames(database), before);
});

for (const held of ['partition', 'default partition'] as const) {
  test(`who holds the ${held} alone makes nobody wait at all, and is not waited for`, async () => {
    await using db = await createTestDatabase({ preparedToday: true });
    const { database } = db;
    const name = await createOldPartition(database, { table: 'history_done', from: 40, to: 39 });
    const relation = held === 'partition' ? name : 'history_done_rest';
    await using reader = await longReader(db.url, `SELECT FROM belfry.${relation}`);
    void reader;
    const startMs = performance.now();
    await retentionOf(database, defaultRetention, 5_000).run(always);
    assert.ok(performance.now() - startMs < 3_000);
    assert.ok((await tableNames(database)).includes(name));
  });
}

test('a detached table that somebody reads stays until he has done', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  const before = await tableNames(database);
  const name = await createOldPartition(database, { table: 'history_done', from: 40, to: 39 });
  let steps = 1;
  await retentionOf(database).run({ mayGoOn: () => Promise.resolve(steps-- > 0) });
  assert.deepEqual(await tableNames(database), [...before, `past_${name}`]);
  const reader = await longReader(db.url, `SELECT FROM belfry.past_${name}`);
  await retentionOf(database).run(always);
  assert.deepEqual(await tableNames(database), [...before, `past_${name}`]);
  await reader[Symbol.asyncDispose]();
  await retentionOf(database).run(always);
  assert.deepEqual(await tableNames(database), before);
});

test('under traffic partitions are made and dropped, and neither reading nor recording fails', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  const others = openDatabase(db.url);
  const traffic = startTraffic(others);
  try {
    for (let round = 0; round < 8; round++) {
      const { nowMs, partitions } = await readPartitions(database);
      for (const { name } of partitions.filter(({ fromMs }) => fromMs > nowMs)) {
        await sql(database, `DROP TABLE belfry.${name}`);
      }
      await eventually('partitions', async () => {
        await ensurePartitions(database, defaultRetention);
        return (await readPartitions(database)).partitions.length === partitions.length;
      });
      for (const from of [40, 41, 42]) {
        await createOldPartition(database, { table: 'history_done', from, to: from - 1 });
      }
      await insertFinished(database, { firstId: 1_000_000 * (round + 1), daysAgo: 41 });
      await eventually('the drops', async () => {
        await retentionOf(database).run(always);
        const left = (await readPartitions(database)).partitions;
        return left.every(({ toMs }) => toMs > nowMs);
      });
      assert.ok(!(await leftIds(database)).labels.some((id) => id >= 1_000_000));
    }
  } finally {
    const { recorded } = await traffic.stop();
    assert.ok(recorded > 20, `${recorded} recorded`);
    await others.close();
  }
});

test('partitions that a long reader keeps from being made are left to a later run, soon', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  const { database } = db;
  const { nowMs, partitions } = await readPartitions(database);
  for (const { name } of partitions.filter(({ fromMs }) => fromMs > nowMs)) {
    await sql(database, `DROP TABLE belfry.${name}`);
  }
  const reader = await longReader(db.url, 'SELECT count(*) FROM belfry.history, belfry.attempts');
  const startMs = performance.now();
  assert.deepEqual(await ensurePartitions(database, defaultRetention), []);
  assert.ok(performance.now() - startMs < 3 * partitionLockTimeoutMs + noiseMs);
  await reader[Symbol.asyncDispose]();
  await ensurePartitions(database, defaultRetention);
  assert.deepEqual((await readPartitions(database)).partitions, partitions);
});
