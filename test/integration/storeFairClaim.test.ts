import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createFairClaimStore,
  claimAheadFairly,
  sweepFairly,
  walkMax,
} from '../../src/store/fairClaim.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import {
  fromStart,
  idsOf,
  insertMany,
  randomToken,
  registerOwner,
  storedAs,
} from '../support/storedTimers.ts';
import type { Database } from '../../src/store/database.ts';

const insertOf = (database: Database, projectId: number, count: number, dueInMs = '0') =>
  insertMany(database, { projectId, count, dueInMs });

async function asOwner(database: Database) {
  const { id, die } = await registerOwner(database);
  const store = createFairClaimStore(database);
  const defaults = {
    floor: fromStart,
    lookAheadMs: 1_000,
    rowsMax: 500,
    known: [],
    most: 100,
    walkFrom: 0,
    lanes: [],
  };
  type Asked = Partial<Parameters<typeof store.claimAheadFairly>[0]>;
  return {
    id,
    die,
    poll: (asked: Asked = {}) =>
      store.claimAheadFairly({ ...defaults, ...asked, owner: id, claim: randomToken() }),
    sweep: (asked: Asked & { lostClaims?: readonly number[] } = {}) =>
      store.sweepFairly({ lostClaims: [], ...defaults, ...asked, owner: id, claim: randomToken() }),
  };
}

const countsOf = (timers: readonly { projectId: number }[]) => {
  const counts: Record<number, number> = {};
  for (const { projectId } of timers) counts[projectId] = (counts[projectId] ?? 0) + 1;
  return counts;
};

for (const kind of ['poll', 'sweep'] as const) {
  test(`a walk takes a share of each project, those due first, by a ${kind}`, async () => {
    await using db = await createTestDatabase();
    const { database } = db;
    await insertOf(database, 1, 1_000, '-n');
    await insertOf(database, 2, 3);
    await insertOf(database, 5, 300);
    await insertOf(database, 7, 10, '60000');
    const owner = await asOwner(database);
    const { timers, walkedTo, databaseNowMs } = await owner[kind]({
      known: [
        { projectId: 5, floor: fromStart, most: 7 },
        { projectId: 6, floor: fromStart, most: 7 },
      ],
    });
    assert.deepEqual(countsOf(timers), { 1: 100, 2: 3, 5: 7 });
    assert.equal(walkedTo, null);
    assert.ok(databaseNowMs > Date.now() - 60_000);
    const first = timers.filter(({ projectId }) => projectId === 1).map(({ id }) => id);
    assert.deepEqual(
      first.toSorted((a, b) => b - a),
      Array.from({ length: 100 }, (_, n) => 1_000 - n),
    );
    assert.equal((await storedAs(database, 1_000)).hot?.['owner'], owner.id);
    const again = await owner[kind]({ walkFrom: 1 });
    assert.deepEqual(countsOf(again.timers), { 5: 100 }, 'behind project 1, and nothing twice');
  });

  test(`without a walk a ${kind} takes of those that are known, each behind its floor`, async () => {
    await using db = await createTestDatabase();
    const { database } = db;
    await insertOf(database, 1, 100, 'n');
    await insertOf(database, 2, 100, 'n');
    const owner = await asOwner(database);
    const first = await owner[kind]({ rowsMax: 500, most: 10 });
    const last = first.timers.findLast(({ projectId }) => projectId === 1);
    assert.ok(last !== undefined);
    const { timers } = await owner[kind]({
      walkFrom: null,
      known: [{ projectId: 1, floor: { nextAtMs: last.nextAtMs + 50, id: 0 }, most: 5 }],
    });
    assert.deepEqual(
      timers.map(({ nextAtMs, projectId }) => [projectId, nextAtMs - last.nextAtMs]),
      [50, 51, 52, 53, 54].map((ms) => [1, ms]),
    );
  });

  test(`where there are too many a ${kind} goes by the order of the projects and is cut short`, async () => {
    await using db = await createTestDatabase();
    const { database } = db;
    for (const projectId of [3, 1, 2]) await insertOf(database, projectId, 50);
    const owner = await asOwner(database);
    assert.deepEqual(countsOf((await owner[kind]({ rowsMax: 70 })).timers), { 1: 50, 2: 20 });
  });

  test(`a walk of many projects by a ${kind} is done in parts, and passes over what waits in lanes`, async () => {
    await using db = await createTestDatabase();
    const { database } = db;
    await sql(
      database,
      `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url)
       SELECT nextval('belfry.timer_id'), n, now(), now(), now(), 'http://127.0.0.1:9/x'
       FROM generate_series(1, 600) AS n`,
    );
    await sql(database, 'UPDATE belfry.timers SET parked_lane = 1 WHERE project_id % 2 = 0');
    const owner = await asOwner(database);
    const seen = new Set<number>();
    let walkFrom: number | null = 0;
    for (let part = 0; walkFrom !== null; part++) {
      assert.ok(part < 3);
      const claimed: Awaited<ReturnType<typeof owner.poll>> = await owner[kind]({ walkFrom });
      for (const { projectId } of claimed.timers) seen.add(projectId);
      assert.equal(claimed.walkedTo, part === 0 ? 2 * walkMax - 1 : null);
      walkFrom = claimed.walkedTo;
    }
    assert.equal(seen.size, 300);
    assert.ok([...seen].every((projectId) => projectId % 2 === 1));
  });
}

test('a fair sweep takes what is owned by the dead, and records what may have been tried as lost', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  await insertOf(database, 2, 2, '-60000');
  const dying = await asOwner(database);
  const lost = await dying.poll();
  assert.equal(lost.timers.length, 2);
  const owner = await asOwner(database);
  assert.deepEqual(idsOf(await owner.sweep()), []);
  await dying.die();
  assert.deepEqual(idsOf(await owner.poll()), [], 'not by a poll');
  const taken = await owner.sweep();
  assert.deepEqual(idsOf(taken), idsOf(lost));
  assert.deepEqual(
    taken.timers.map(({ lostInRow, attempts }) => [lostInRow, attempts]),
    [
      [1, 1],
      [1, 1],
    ],
  );
  assert.equal((await storedAs(database, lost.timers[0]?.id ?? 0)).attempts.length, 1);
});

test('a process that was declared dead is given nothing by either', async () => {
  await using db = await createTestDatabase();
  await insertOf(db.database, 1, 2);
  const dead = await asOwner(db.database);
  await dead.die();
  assert.deepEqual(idsOf(await dead.poll()), []);
  assert.deepEqual(idsOf(await dead.sweep()), []);
});

// Analysed, since what a recursion asks shows only once it has run; no process 2 lives, so nothing is claimed.
test('both go by the index of projects alone, under custom and generic plans', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  await insertOf(database, 1, 50_000, 'n * 100 - 10000');
  for (const projectId of [2, 3, 4]) await insertOf(database, projectId, 200, 'n * 100');
  await sql(database, 'ANALYZE belfry.timers');
  const shares = 'bigint[], timestamptz[], bigint[], integer[], integer, bigint, integer';
  const first = 'timestamptz, bigint, float8, integer, bigint, bigint';
  const known = `'{1}', '{-infinity}', '{0}', '{50}', 100, 0, 256`;
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    for (const [statement, types, values] of [
      [claimAheadFairly, `${first}, ${shares}`, `now(), 0, 1000, 500, 2, 3, ${known}`],
      [sweepFairly, `${first}, bigint[], ${shares}`, `now(), 0, 1000, 500, 2, 3, '{}', ${known}`],
    ] as const) {
      const plan = await database.session(async (client) => {
        await client.query(`SET plan_cache_mode = ${mode}`);
        await client.query(`PREPARE fairly (${types}) AS ${statement.text}`);
        const { rows } = await client.query<{ 'QUERY PLAN': string }>(
          `EXPLAIN (ANALYZE, TIMING OFF) EXECUTE fairly (${values})`,
        );
        await client.query('DEALLOCATE fairly');
        await client.query('RESET plan_cache_mode');
        return rows.map((row) => row['QUERY PLAN']).join('\n');
      });
      assert.equal(plan.match(/Index (Only )?Scan using timers_project_next_at/g)?.length, 3, plan);
      assert.match(
        plan,
        /Index Cond: \(\(project_id = [^\n]*next_at >= [^\n]*ROW\(next_at, id\) > [^\n]*next_at <= /,
        plan,
      );
      assert.doesNotMatch(
        plan,
        /Seq Scan on timers|timers_next_at|timers_project_id|Incremental Sort/,
        plan,
      );
    }
  }
});
