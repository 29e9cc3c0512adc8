import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClaimStore } from '../../src/store/claim.ts';
import { createDestinationLaneStore } from '../../src/store/destinationLanes.ts';
import { createProcessStore } from '../../src/store/processes.ts';
import { timerIdFromDatabase } from '../../src/core/ids.ts';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

const origin = 'http://127.0.0.1:9';

/** Timers that a process holds, due in so many milliseconds, and the process. */
async function seedClaimed(db: TestDatabase, dueInMs: readonly number[]) {
  const owner = 77;
  await createProcessStore(db.database).register(owner, 60_000);
  const rows = await sql<[number]>(
    db.database,
    `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url, owner, claim)
     SELECT nextval('belfry.timer_id'), 1, at, at, now(), $1, $2::bigint, 7
     FROM (SELECT date_trunc('milliseconds', now() + ms * interval '1 ms') AS at
       FROM unnest($3::float8[]) AS ms) AS due RETURNING id`,
    [`${origin}/`, owner, `{${dueInMs.join(',')}}`],
  );
  const timers = rows.map(([id]) => ({
    id: timerIdFromDatabase(id),
    owner,
    claim: 7,
    projectId: 1,
    origin,
  }));
  return { owner, timers };
}

async function stateOf(db: TestDatabase) {
  const [row] = await sql<[string, number]>(
    db.database,
    `SELECT state, (SELECT count(*) FROM belfry.timers t WHERE t.parked_lane = l.id)
     FROM belfry.lanes l WHERE kind = 'destination'`,
  );
  return row;
}

test('what is parked makes the lane limited, and is pulled out of it once, those due first before others', async () => {
  await using db = await createTestDatabase();
  const lanes = createDestinationLaneStore(db.database);
  const claims = createClaimStore(db.database);
  const { owner, timers } = await seedClaimed(db, [-100, -300, -200, 60_000]);
  const stale = timers.map((timer) => ({ ...timer, claim: 8 }));
  assert.deepEqual(await lanes.parkAt(stale), [], 'a fence that does not fit parks nothing');
  const parked = await lanes.parkAt(timers);
  assert.equal(parked.length, 4);
  const lane = parked[0]?.lane ?? NaN;
  assert.deepEqual(await stateOf(db), ['limited', 4]);
  const pull = async (rowsMax: number) =>
    (await claims.pull({ lane, owner, claim: 9, rowsMax })).timers.map(({ id }) => id);
  const ids = timers.map(({ id }) => id);
  assert.deepEqual(await pull(1), [ids[1]]);
  assert.deepEqual(new Set(await pull(10)), new Set([ids[0], ids[2]]));
  assert.deepEqual(await pull(10), [], 'one that is not due stays');
});

test('a dead process pulls nothing', async () => {
  await using db = await createTestDatabase();
  const { owner, timers } = await seedClaimed(db, [-100]);
  const lane = (await createDestinationLaneStore(db.database).parkAt(timers))[0]?.lane ?? NaN;
  await sql(db.database, 'UPDATE belfry.processes SET dead = true');
  const claims = createClaimStore(db.database);
  assert.deepEqual((await claims.pull({ lane, owner, claim: 9, rowsMax: 5 })).timers, []);
});

test('a lane opens when nothing due is left in it, and lets go what is ahead', async () => {
  await using db = await createTestDatabase();
  const lanes = createDestinationLaneStore(db.database);
  const claims = createClaimStore(db.database);
  const { owner, timers } = await seedClaimed(db, [-100, 30_000, 60_000]);
  const lane = (await lanes.parkAt(timers))[0]?.lane ?? NaN;
  assert.equal(await lanes.open(lane, 100), undefined, 'one is due');
  await claims.pull({ lane, owner, claim: 9, rowsMax: 5 });
  assert.equal(await lanes.open(lane, 1), undefined, 'too many are ahead');
  assert.deepEqual(await stateOf(db), ['limited', 2]);
  const [due] = await sql<[number]>(
    db.database,
    `SELECT date_part('epoch', min(next_at)) * 1000 FROM belfry.timers WHERE parked_lane IS NOT NULL`,
  );
  assert.deepEqual(await lanes.open(lane, 2), { nextAtMs: Math.round(due?.[0] ?? NaN) });
  assert.deepEqual(await stateOf(db), ['open', 0]);
  assert.equal(await lanes.open(lane, 2), undefined, 'it is open');
});

test('a lane does not open over a timer that is being parked meanwhile', async () => {
  await using db = await createTestDatabase();
  const lanes = createDestinationLaneStore(db.database);
  const { timers } = await seedClaimed(db, [-100, -50]);
  const [first, second] = timers;
  assert.ok(first !== undefined && second !== undefined);
  const lane = (await lanes.parkAt([first]))[0]?.lane ?? NaN;
  await sql(db.database, 'UPDATE belfry.timers SET parked_lane = NULL WHERE id = $1', [first.id]);
  // The second is slow to be parked: something else holds its row, and so the statement the lane.
  await db.database.session(async (client) => {
    await client.query('BEGIN');
    await client.query('SELECT 1 FROM belfry.timers WHERE id = $1 FOR UPDATE', [second.id]);
    const parking = lanes.parkAt([second]);
    await waiters(db, 1);
    const opening = lanes.open(lane, 100);
    await waiters(db, 2);
    await client.query('ROLLBACK');
    assert.equal((await parking).length, 1);
    assert.equal(await opening, undefined);
  });
  assert.deepEqual(await stateOf(db), ['limited', 1]);
});

test('what has expired in lanes is let go, of each some', async () => {
  await using db = await createTestDatabase();
  const lanes = createDestinationLaneStore(db.database);
  const { timers } = await seedClaimed(db, [-100, -90, -80, -70]);
  const parked = await lanes.parkAt(
    timers.map(({ id, owner, claim }, index) => {
      return { id, owner, claim, projectId: 1, origin: `${origin}${index % 2}` };
    }),
  );
  const ids = [...new Set(parked.map(({ lane }) => lane))];
  assert.equal(ids.length, 2);
  const left = async () =>
    (await sql(db.database, 'SELECT 1 FROM belfry.timers WHERE parked_lane IS NOT NULL')).length;
  await lanes.releaseExpired(ids, 10);
  assert.equal(await left(), 4);
  await sql(db.database, `UPDATE belfry.timers SET expires_at = now() - interval '1 ms'`);
  await lanes.releaseExpired(ids, 1);
  assert.equal(await left(), 2);
  await lanes.releaseExpired(ids, 10);
  assert.equal(await left(), 0);
});

/** So many statements wait for a lock. */
async function waiters(db: TestDatabase, count: number): Promise<void> {
  await eventually(`${count} wait`, async () => {
    const [row] = await sql<[number]>(
      db.database,
      `SELECT count(*) FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return row?.[0] === count;
  });
}
