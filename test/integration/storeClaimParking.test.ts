import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClaimStore } from '../../src/store/claim.ts';
import { createDestinationLaneStore } from '../../src/store/destinationLanes.ts';
import { createFairClaimStore } from '../../src/store/fairClaim.ts';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  fromStart,
  insertMany,
  randomToken,
  registerOwner,
  type Owner,
} from '../support/storedTimers.ts';

const origin = 'http://127.0.0.1:9';

/** A limited lane of the origin, in which one timer waits. */
async function limitedLane(db: TestDatabase, owner: Owner): Promise<number> {
  await insertMany(db.database, { count: 1, dueInMs: '-9000' });
  const claimed = (await owner.claimAhead()).timers.map(({ id, owner: by, claim, projectId }) => ({
    id,
    owner: by,
    claim,
    projectId,
    origin,
  }));
  const [parked] = await createDestinationLaneStore(db.database).parkAt(claimed);
  assert.ok(parked !== undefined);
  return parked.lane;
}

/** By each of the four statements that claim by due time. */
const claims = {
  poll: (db, id, lanes) => createClaimStore(db.database).claimAhead(asked(id, lanes)),
  sweep: (db, id, lanes) =>
    createClaimStore(db.database).sweep({ ...asked(id, lanes), lostClaims: [] }),
  'fair poll': (db, id, lanes) =>
    createFairClaimStore(db.database).claimAheadFairly({ ...asked(id, lanes), ...round }),
  'fair sweep': (db, id, lanes) =>
    createFairClaimStore(db.database).sweepFairly({
      ...asked(id, lanes),
      ...round,
      lostClaims: [],
    }),
} satisfies Record<
  string,
  (db: TestDatabase, id: number, lanes: readonly number[]) => Promise<unknown>
>;
const round = { known: [], most: 100, walkFrom: 0 };

function asked(owner: number, lanes: readonly number[]) {
  const claim = randomToken();
  return { floor: fromStart, rowsMax: 500, lookAheadMs: 1_000, owner, claim, lanes };
}

/** How the timers stand, by URL. */
async function standings(db: TestDatabase): Promise<Record<string, string>> {
  const rows = await sql<[url: string, standing: string]>(
    db.database,
    `SELECT DISTINCT url, CASE WHEN parked_lane IS NOT NULL AND owner IS NULL AND claim IS NULL THEN 'parked'
       WHEN owner IS NOT NULL AND parked_lane IS NULL THEN 'claimed' ELSE 'free' END
     FROM belfry.timers`,
  );
  return Object.fromEntries(rows);
}

for (const [name, claim] of Object.entries(claims)) {
  test(`a ${name} parks what would wait in a crowded lane, and claims the rest`, async () => {
    await using db = await createTestDatabase();
    const owner = await registerOwner(db.database);
    const lane = await limitedLane(db, owner);
    await sql(db.database, `INSERT INTO belfry.projects (id, name) VALUES (2, 'other')`);
    const put = (url: string, more: { projectId?: number; expiresInMs?: string } = {}) =>
      insertMany(db.database, { count: 2, dueInMs: '-n', url, ...more });
    await put(`${origin}/x`);
    await put(`${origin}/y?z`);
    await put(`${origin}9/x`);
    await put('http://127.0.0.1/x');
    await put(`${origin}/other`, { projectId: 2 });
    await put(`${origin}/expired`, { expiresInMs: '0' });
    const { timers, parked } = await claim(db, owner.id, [lane]);
    assert.deepEqual(await standings(db), {
      [`${origin}/x`]: 'parked',
      [`${origin}/y?z`]: 'parked',
      [`${origin}9/x`]: 'claimed',
      'http://127.0.0.1/x': 'claimed',
      [`${origin}/other`]: 'claimed',
      [`${origin}/expired`]: 'claimed',
    });
    assert.equal(timers.length, 8);
    assert.equal(parked.length, 4);
    for (const timer of parked) {
      assert.deepEqual([timer.lane, timer.projectId], [lane, 1]);
      assert.ok(timer.nextAtMs > 1e12 && timer.id > 0);
    }
    assert.ok(timers.every(({ request }) => request.url.startsWith('http')));
  });

  test(`a ${name} claims what would wait in a lane that is open, or that somebody else parks in`, async () => {
    await using db = await createTestDatabase();
    const owner = await registerOwner(db.database);
    const lane = await limitedLane(db, owner);
    await insertMany(db.database, { count: 1, dueInMs: '-1' });
    const isClaimed = async () => {
      const { timers, parked } = await claim(db, owner.id, [lane]);
      assert.deepEqual([timers.length, parked.length], [1, 0]);
    };
    await db.database.session(async (client) => {
      await client.query('BEGIN');
      await client.query('SELECT FROM belfry.lanes FOR UPDATE');
      await isClaimed();
      await client.query('ROLLBACK');
    });
    await insertMany(db.database, { count: 1, dueInMs: '-1' });
    await sql(db.database, `UPDATE belfry.lanes SET state = 'open'`);
    await isClaimed();
  });
}

test('what a dead process held is parked with its lost attempt on record', async () => {
  for (const sweep of [claims.sweep, claims['fair sweep']]) {
    await using db = await createTestDatabase();
    const owner = await registerOwner(db.database);
    const lane = await limitedLane(db, owner);
    await insertMany(db.database, { count: 3, dueInMs: '-1' });
    const dying = await registerOwner(db.database);
    await dying.claimAhead();
    await dying.die();
    const { timers, parked } = await sweep(db, owner.id, [lane]);
    assert.deepEqual([timers.length, parked.length], [0, 3]);
    const rows = await sql<[number, number, string]>(
      db.database,
      `SELECT t.attempts, t.lost_in_row, a.error_code FROM belfry.timers t
       JOIN belfry.attempts a ON a.timer_id = t.id WHERE t.parked_lane = $1`,
      [lane],
    );
    assert.deepEqual(
      rows,
      Array.from({ length: 3 }, () => [1, 1, 'lost']),
    );
  }
});

test('a lane is not opened over what a claim is parking in it', async () => {
  await using db = await createTestDatabase();
  const owner = await registerOwner(db.database);
  const lane = await limitedLane(db, owner);
  const lanes = createDestinationLaneStore(db.database);
  const store = createClaimStore(db.database);
  const pulled = await store.pull({ lane, owner: owner.id, claim: 1, rowsMax: 5 });
  assert.equal(pulled.timers.length, 1);
  await insertMany(db.database, { count: 1, dueInMs: '-1' });
  // The claim waits at the timers' table, behind its lane, until the lane has been asked to open.
  await sql(
    db.database,
    `CREATE FUNCTION pg_temp_wait() RETURNS trigger LANGUAGE plpgsql AS
     $$BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END$$;`,
  );
  await sql(
    db.database,
    `CREATE TRIGGER wait BEFORE UPDATE ON belfry.timers FOR EACH ROW
     WHEN (NEW.parked_lane IS NOT NULL) EXECUTE FUNCTION pg_temp_wait()`,
  );
  const parking = claims.sweep(db, owner.id, [lane]);
  await eventually('it parks', async () => {
    const [row] = await sql<[boolean]>(
      db.database,
      `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')`,
    );
    return row?.[0] === true;
  });
  const opened = await lanes.open(lane, 100);
  assert.equal((await parking).parked.length, 1);
  assert.equal(opened, undefined);
  const [row] = await sql<[string]>(db.database, 'SELECT state FROM belfry.lanes');
  assert.deepEqual(row, ['limited']);
});
