import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimAhead, createClaimStore, sweep } from '../../src/store/claim.ts';
import { bodyInlineMax } from '../../src/store/claimedRows.ts';
import { createOutcomeRecorder } from '../../src/store/outcomes.ts';
import { createTestDatabase, openDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  attemptOf,
  idsOf,
  insertMany,
  insertTimers,
  newTimer,
  only,
  registerOwner,
  storedAs,
} from '../support/storedTimers.ts';

const claimTypes = 'timestamptz, bigint, float8, integer, bigint, bigint';

test('a poll reads the index between both ends of next_at, under custom and generic plans', async () => {
  await using db = await createTestDatabase();
  await insertMany(db.database, { count: 50_000, dueInMs: 'n * 100 - 10000' });
  await sql(db.database, 'UPDATE belfry.timers SET owner = 1, claim = 1 WHERE id % 7 = 0');
  const now = `'${new Date().toISOString()}'`;
  for (const analysed of [false, true]) {
    if (analysed) await sql(db.database, 'ANALYZE belfry.timers');
    for (const mode of ['force_custom_plan', 'force_generic_plan']) {
      const plan = await db.database.session(async (client) => {
        await client.query(`SET plan_cache_mode = ${mode}`);
        await client.query(`PREPARE polled (${claimTypes}) AS ${claimAhead.text}`);
        const { rows } = await client.query<{ 'QUERY PLAN': string }>(
          `EXPLAIN EXECUTE polled (${now}, 5, 1000, 500, 2, 3)`,
        );
        await client.query('DEALLOCATE polled');
        await client.query('RESET plan_cache_mode');
        return rows.map((row) => row['QUERY PLAN']).join('\n');
      });
      const scan = /Index Scan using timers_next_at on timers[^\n]*\n\s+Index Cond: ([^\n]*)/;
      const [, condition = ''] = scan.exec(plan) ?? [];
      assert.match(condition, /next_at >= /, plan);
      assert.match(condition, /next_at <= /, plan);
      assert.match(condition, /ROW\(next_at, id\) > ROW\(/, plan);
      assert.doesNotMatch(plan, /Seq Scan on timers|Sort/, plan);
    }
  }
});

test('a sweep reads the index in order too, whatever the plan, and hashes nothing of the table', async () => {
  await using db = await createTestDatabase();
  await insertMany(db.database, { count: 50_000, dueInMs: 'n * 100 - 10000' });
  await sql(db.database, 'ANALYZE belfry.timers');
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    const plan = await db.database.session(async (client) => {
      await client.query(`SET plan_cache_mode = ${mode}`);
      await client.query(`PREPARE swept (${claimTypes}, bigint[]) AS ${sweep.text}`);
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(
        `EXPLAIN EXECUTE swept ('-infinity', 0, 1000, 500, 2, 3, '{}')`,
      );
      await client.query('DEALLOCATE swept');
      await client.query('RESET plan_cache_mode');
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    });
    assert.match(plan, /Index Scan using timers_next_at on timers[^\n]*\n\s+Index Cond: /, plan);
    assert.doesNotMatch(plan, /Seq Scan on timers/, plan);
  }
});

test('a claim takes what is due within the look-ahead, earliest first, and nothing twice', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  const delays = [900, 5_000, 0, 400, 1_500];
  const ids = await insertTimers(
    database,
    delays.map((delayMs) => newTimer({ delayMs })),
  );
  const owner = await registerOwner(database);
  const two = await owner.claimAhead({ rowsMax: 2 });
  assert.deepEqual(idsOf(two), [ids[2], ids[3]]);
  assert.deepEqual(idsOf(await owner.claimAhead()), [ids[0]]);
  assert.deepEqual(idsOf(await owner.claimAhead()), []);
  const [timer] = two.timers;
  assert.ok(timer !== undefined);
  const { hot } = await storedAs(database, timer.id);
  assert.equal(hot?.['owner'], owner.id);
  assert.equal(hot?.['claim'], timer.claim);
  assert.equal(hot?.['attempts'], 0);
  assert.equal(Date.parse(String(hot?.['next_at'])), timer.nextAtMs);
});

test('the reply bears the database clock, also when nothing was claimed', async () => {
  await using db = await createTestDatabase();
  const owner = await registerOwner(db.database);
  const [before] = await sql<[number]>(db.database, 'SELECT clock_timestamp()');
  const { timers, databaseNowMs } = await owner.claimAhead();
  const [after] = await sql<[number]>(db.database, 'SELECT clock_timestamp()');
  assert.deepEqual(timers, []);
  assert.ok((before?.[0] ?? Infinity) <= databaseNowMs && databaseNowMs <= (after?.[0] ?? 0));
});

test('a floor stands just behind its timer, also between timers due at the same instant', async () => {
  await using db = await createTestDatabase();
  const at = Date.now() - 1_000;
  await insertMany(db.database, { count: 6, dueInMs: '0' });
  await sql(db.database, 'UPDATE belfry.timers SET next_at = $1 WHERE id BETWEEN 2 AND 5', [
    new Date(at),
  ]);
  await sql(db.database, 'UPDATE belfry.timers SET next_at = $1 WHERE id = 1', [new Date(at - 1)]);
  const owner = await registerOwner(db.database);
  assert.deepEqual(idsOf(await owner.claimAhead({ floor: { nextAtMs: at, id: 3 } })), [4, 5, 6]);
  assert.deepEqual(idsOf(await owner.claimAhead({ floor: { nextAtMs: at, id: 0 } })), [2, 3]);
  assert.deepEqual(idsOf(await owner.claimAhead()), [1]);
});

test('two processes that claim at once share the timers: each gets some, none is given twice', async () => {
  await using db = await createTestDatabase();
  await insertMany(db.database, { count: 2_000, dueInMs: '-n' });
  const owners = await Promise.all([1, 2, 3, 4].map(() => registerOwner(db.database)));
  const claimed = await Promise.all(
    owners.map(async (owner) => {
      const all: number[] = [];
      for (;;) {
        const ids = idsOf(await owner.claimAhead({ rowsMax: 50 }));
        all.push(...ids);
        if (ids.length === 0) return all;
      }
    }),
  );
  const ids = claimed.flat();
  assert.equal(ids.length, 2_000);
  assert.equal(new Set(ids).size, 2_000);
  assert.ok(claimed.every((own) => own.length > 0));
});

test('a claim does not wait for rows that another statement has locked', async () => {
  await using db = await createTestDatabase();
  await insertMany(db.database, { count: 2, dueInMs: '-n' });
  const owner = await registerOwner(db.database);
  await db.database.session(async (client) => {
    await client.query('BEGIN');
    await client.query('SELECT 1 FROM belfry.timers WHERE id = 1 FOR UPDATE');
    assert.deepEqual(idsOf(await owner.claimAhead()), [2]);
    await client.query('ROLLBACK');
  });
  assert.deepEqual(idsOf(await owner.claimAhead()), [1]);
});

test('parked timers are not claimed, nor swept', async () => {
  await using db = await createTestDatabase();
  await insertMany(db.database, { count: 1, dueInMs: '0' });
  await sql(db.database, 'UPDATE belfry.timers SET parked_lane = 5');
  const owner = await registerOwner(db.database);
  assert.deepEqual(idsOf(await owner.claimAhead()), []);
  assert.deepEqual(idsOf(await owner.sweep()), []);
});

test('a claimed timer carries its whole request; only a body over 16 KiB is left to fetchBody', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  const request = {
    method: 'PUT' as const,
    headers: { 'x-a': ['1', '2'] },
    appendId: false,
    timeoutMs: 1_500,
  };
  const retry = { attemptsMax: 2, baseMs: 1, factor: 2, capMs: 3, jitter: 0.5, ageMaxMs: 9 };
  const bodies = [
    null,
    Buffer.alloc(0),
    Buffer.alloc(bodyInlineMax, 1),
    Buffer.alloc(bodyInlineMax + 1, 2),
  ];
  const ids = await insertTimers(
    database,
    bodies.map((body) => newTimer({ request: { ...request, body }, retry, expiresAfterMs: 5_000 })),
  );
  const owner = await registerOwner(database);
  const claimed = await owner.claimAhead();
  const timers = claimed.timers.toSorted((a, b) => a.id - b.id);
  assert.deepEqual(
    timers.map(({ id }) => id),
    ids,
  );
  const store = createClaimStore(database);
  for (const [index, timer] of timers.entries()) {
    const body = bodies[index] ?? null;
    const isLarge = index === 3;
    assert.equal(timer.bodyDeferred, isLarge);
    assert.deepEqual(timer.request.body, isLarge ? null : body);
    assert.partialDeepStrictEqual(timer.request, request);
    assert.deepEqual(timer.retry, retry);
    assert.equal(timer.expiresAtMs, timer.nextAtMs + 5_000);
    if (!isLarge) continue;
    assert.deepEqual(await store.fetchBody(timer), body);
    assert.equal(await store.fetchBody({ ...timer, claim: timer.claim + 1 }), undefined);
    assert.equal(await store.fetchBody({ ...timer, owner: timer.owner + 1 }), undefined);
  }
});

test('release gives back what is still ours, and only that', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  const store = createClaimStore(database);
  await insertMany(database, { count: 3, dueInMs: '0' });
  const [one, two] = [await registerOwner(database), await registerOwner(database)];
  const { timers } = await one.claimAhead();
  const [first, second, third] = timers.toSorted((a, b) => a.id - b.id);
  assert.ok(first && second && third);
  assert.deepEqual(await store.release([{ ...second, claim: 1 }, first]), [first.id]);
  assert.deepEqual(idsOf(await two.claimAhead()), [first.id]);
  assert.deepEqual(await store.release([first]), []);
  assert.equal((await storedAs(database, first.id)).hot?.['owner'], two.id);
  assert.equal((await storedAs(database, second.id)).hot?.['claim'], second.claim);
  assert.equal((await storedAs(database, third.id)).hot?.['attempts'], 0);
});

test('markStart marks what is ours, and says no when it is not', async () => {
  await using db = await createTestDatabase();
  const store = createClaimStore(db.database);
  await insertMany(db.database, { count: 1, dueInMs: '0' });
  const timer = only(await (await registerOwner(db.database)).claimAhead());
  assert.equal(await store.markStart({ ...timer, claim: 1 }), false);
  assert.equal((await storedAs(db.database, 1)).hot?.['start_marked'], false);
  assert.equal(await store.markStart(timer), true);
  assert.equal((await storedAs(db.database, 1)).hot?.['start_marked'], true);
  assert.deepEqual(await store.release([timer]), [1]);
  const again = only(await (await registerOwner(db.database)).claimAhead());
  assert.equal((await storedAs(db.database, 1)).hot?.['start_marked'], false);
  assert.equal(await store.markStart(timer), false);
  assert.equal(await store.markStart(again), true);
});

test('at least 90 % of claims are HOT updates in steady claim and finish', async () => {
  await using db = await createTestDatabase();
  const count = 10_000;
  const worker = openDatabase(db.url);
  // Due in an order that has nothing to do with the order of creation, as in service.
  await insertMany(db.database, { count, dueInMs: '-((n * 7919) % 10007)' });
  const owner = await registerOwner(worker);
  const recorder = createOutcomeRecorder(worker);
  let done = 0;
  let floor = { nextAtMs: -Infinity, id: 0 };
  for (;;) {
    const { timers } = await owner.claimAhead({ floor, rowsMax: 100 });
    const last = timers.toSorted((a, b) => a.nextAtMs - b.nextAtMs || a.id - b.id).at(-1);
    if (last === undefined) break;
    floor = last;
    done += timers.length;
    await Promise.all(
      timers.map((timer) =>
        recorder.add({ timer, verdict: { kind: 'succeeded' }, attempt: attemptOf(200) }),
      ),
    );
  }
  assert.equal(done, count);
  // Closing the connections hands their statistics in.
  await worker.close();
  const [updates, hot] = await eventually('statistics', async () => {
    const [row] = await sql<[number, number]>(
      db.database,
      `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
       WHERE schemaname = 'belfry' AND relname = 'timers'`,
    );
    return row !== undefined && row[0] >= count ? row : undefined;
  });
  assert.ok(hot >= 0.9 * updates, `${hot} of ${updates} updates were HOT`);
});
