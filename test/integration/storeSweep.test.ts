import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClaimer } from '../../src/scheduler/claimer.ts';
import { createDatabaseClock } from '../../src/scheduler/databaseClock.ts';
import { createClaimStore, sweep } from '../../src/store/claim.ts';
import { createFairClaimStore } from '../../src/store/fairClaim.ts';
import type { Database } from '../../src/store/database.ts';
import { createProcessStore } from '../../src/store/processes.ts';
import { createTestDatabase, openDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  fromStart,
  idsOf,
  insertMany,
  only,
  randomToken,
  registerOwner,
  storedAs,
  type Row,
} from '../support/storedTimers.ts';

async function lostAttempts(database: Database, id: number): Promise<readonly Row[]> {
  return (await storedAs(database, id)).attempts.filter((row) => row['error_code'] === 'lost');
}

test('a sweep takes what a dead process held, and records the attempt that it may have started as lost', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  await insertMany(database, { count: 1, dueInMs: '-1000' });
  const dead = await registerOwner(database);
  const held = only(await dead.claimAhead());
  const heir = await registerOwner(database);
  assert.deepEqual(idsOf(await heir.sweep()), [], 'it lives');
  assert.deepEqual(idsOf(await heir.claimAhead()), []);
  await dead.die();
  assert.deepEqual(idsOf(await heir.claimAhead()), [], 'the ordinary poll does not look');
  const taken = only(await heir.sweep());
  assert.equal(taken.owner, heir.id);
  assert.notEqual(taken.claim, held.claim);
  assert.deepEqual([taken.attempts, taken.failures, taken.lostInRow], [1, 0, 1]);
  const [lost, ...others] = await lostAttempts(database, 1);
  assert.deepEqual(others, []);
  assert.equal(lost?.['claim'], held.claim);
  assert.equal(lost?.['number'], 1);
  assert.equal(lost?.['started_at'], null);
  assert.deepEqual(idsOf(await heir.sweep()), [], 'taken once');
});

test('a timer that came due only after its owner had lapsed has lost nothing', async () => {
  await using db = await createTestDatabase();
  await insertMany(db.database, { count: 1, dueInMs: '500' });
  const dead = await registerOwner(db.database);
  only(await dead.claimAhead());
  await dead.die(10);
  const taken = only(await (await registerOwner(db.database)).sweep());
  assert.deepEqual([taken.attempts, taken.lostInRow], [0, 0]);
  assert.deepEqual(await lostAttempts(db.database, 1), []);
});

test('under suspicion only a start that was marked counts as lost: waiting beside a killer costs nothing', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  const store = createClaimStore(database);
  await insertMany(database, { count: 1, dueInMs: '-1000' });
  const first = await registerOwner(database);
  only(await first.claimAhead());
  await first.die();
  const second = await registerOwner(database);
  assert.equal(only(await second.sweep()).lostInRow, 1);
  await second.die();
  const third = await registerOwner(database);
  const unmarked = only(await third.sweep());
  assert.deepEqual([unmarked.attempts, unmarked.lostInRow], [1, 1], 'it never started');
  assert.equal(await store.markStart(unmarked), true);
  await third.die();
  const fourth = await registerOwner(database);
  const marked = only(await fourth.sweep());
  assert.deepEqual([marked.attempts, marked.lostInRow], [2, 2]);
  assert.equal((await storedAs(database, 1)).hot?.['start_marked'], false);
  assert.deepEqual(
    (await lostAttempts(database, 1)).map((row) => row['number']),
    [1, 2],
  );
});

test('a sweep takes unowned backlog, and what a statement of ours with a lost reply has claimed', async () => {
  await using db = await createTestDatabase();
  await insertMany(db.database, { count: 3, dueInMs: 'n - 1000' });
  const owner = await registerOwner(db.database);
  const other = await registerOwner(db.database);
  const lost = only(await owner.claimAhead({ rowsMax: 1 }));
  const kept = only(await owner.claimAhead({ rowsMax: 1 }));
  const others = await other.sweep({ lostClaims: [lost.claim], rowsMax: 1 });
  assert.deepEqual(idsOf(others), [3], 'a claim is lost to its own process only');
  const again = only(await owner.sweep({ lostClaims: [lost.claim, randomToken()] }));
  assert.equal(again.id, lost.id);
  assert.notEqual(again.claim, lost.claim);
  assert.deepEqual([again.attempts, again.lostInRow], [0, 0], 'nothing can have started');
  assert.equal((await storedAs(db.database, kept.id)).hot?.['claim'], kept.claim);
});

test('a sweep in steps with a floor takes everything once', async () => {
  await using db = await createTestDatabase();
  await insertMany(db.database, { count: 250, dueInMs: '-(n / 50)' });
  const owner = await registerOwner(db.database);
  const taken: number[] = [];
  let floor = fromStart;
  for (;;) {
    const { timers } = await owner.sweep({ floor, rowsMax: 40 });
    taken.push(...timers.map(({ id }) => id));
    const last = timers.toSorted((a, b) => a.nextAtMs - b.nextAtMs || a.id - b.id).at(-1);
    if (last === undefined) break;
    floor = last;
  }
  assert.equal(taken.length, 250);
  assert.equal(new Set(taken).size, 250);
});

test('sweeps at once share what a dead process held: every timer is taken once, and lost once', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  await insertMany(database, { count: 400, dueInMs: '-n' });
  const dead = await registerOwner(database);
  await dead.claimAhead();
  await dead.die();
  const heirs = await Promise.all([1, 2, 3, 4].map(() => registerOwner(database)));
  const taken = await Promise.all(
    heirs.map(async (heir) => {
      const all: number[] = [];
      for (;;) {
        const ids = idsOf(await heir.sweep({ rowsMax: 30 }));
        all.push(...ids);
        if (ids.length === 0) return all;
      }
    }),
  );
  assert.equal(new Set(taken.flat()).size, 400);
  assert.equal(taken.flat().length, 400);
  assert.deepEqual(
    await sql(database, `SELECT count(*), count(DISTINCT timer_id) FROM belfry.attempts`),
    [[400, 400]],
  );
});

test('a process that registered after the snapshot of a sweep is not robbed by it', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  await insertMany(database, { count: 2, dueInMs: 'n - 1000' });
  const dead = await registerOwner(database);
  await dead.claimAhead({ floor: fromStart });
  const sweeper = await registerOwner(database);
  await dead.die();
  // The sweep stops at the first timer, after its snapshot, until the lock below is let go.
  await sql(
    database,
    `CREATE FUNCTION pause_at(timer bigint) RETURNS boolean LANGUAGE plpgsql AS $$
     BEGIN
       IF timer = 1 THEN PERFORM pg_advisory_xact_lock_shared(42); END IF;
       RETURN true;
     END $$`,
  );
  const paused = {
    name: '',
    text: sweep.text.replace('AND next_at >=', 'AND pause_at(id) AND next_at >='),
  };
  assert.notEqual(paused.text, sweep.text);
  const other = openDatabase(db.url);
  try {
    const values = ['-infinity', 0, 1_000, 500, sweeper.id, randomToken(), []];
    let sweeping: Promise<unknown[][]> | undefined;
    const late = await database.session(async (client) => {
      await client.query('SELECT pg_advisory_lock(42)');
      sweeping = other.query(paused, values);
      await eventually('the sweep has its snapshot and waits', async () => {
        const [row] = await sql<[number]>(
          database,
          `SELECT count(*) FROM pg_stat_activity
           WHERE wait_event_type = 'Lock' AND wait_event = 'advisory' AND datname = current_database()`,
        );
        return row?.[0] === 1;
      });
      const owner = await registerOwner(database);
      const timer = only(
        await owner
          .sweep({ floor: { nextAtMs: Date.now() - 60_000, id: 1 }, rowsMax: 2 })
          .then((claimed) => ({ ...claimed, timers: claimed.timers.filter(({ id }) => id === 2) })),
      );
      await client.query('SELECT pg_advisory_unlock(42)');
      return { owner, timer };
    });
    const rows = (await sweeping) ?? [];
    assert.ok(!rows.some((row) => row[1] === 2), 'the sweep left it alone');
    const { hot } = await storedAs(database, 2);
    assert.equal(hot?.['owner'], late.owner.id);
    assert.equal(hot?.['claim'], late.timer.claim);
    assert.equal((await lostAttempts(database, 2)).length, 1);
  } finally {
    await other.close();
  }
});

// A pass over a backlog may last longer than the dead are kept (CATCH_UP_RATE, slow receivers).
test('timers of a process that died behind a long pass are taken by the next one', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  await insertMany(database, { count: 15, dueInMs: 'n - 3600000' });
  const dying = await registerOwner(database);
  only(await dying.claimAhead({ rowsMax: 1 }));
  const owner = await registerOwner(database);
  let nowMs = 0;
  const clock = { monotonicMs: () => nowMs, wallMs: () => nowMs };
  const claimer = createClaimer({
    store: {
      ...createFairClaimStore(database),
      ...createProcessStore(database),
    },
    clock,
    databaseClock: createDatabaseClock(clock),
    lookAheadMs: 1_000,
    catchUpRate: undefined,
    room: { of: () => 5, ofBacklog: () => 5, holders: () => [], isShort: () => false },
    crowdedLanes: () => [],
    crowd: 5,
  });
  // The pass begins, and is beyond the first timer when that one's owner dies.
  assert.equal((await claimer.sweepStep(owner.id, 5)).timers.length, 5);
  assert.equal((await claimer.sweepStep(owner.id, 5)).timers.length, 5);
  assert.equal((await claimer.sweepStep(owner.id, 5)).timers.length, 0, 'of other projects');
  nowMs += 12 * 60_000;
  await dying.die(11 * 60_000);
  for (let pass = 0; pass < 3; pass++) {
    nowMs += 24 * 60 * 60_000;
    await claimer.sweepStep(owner.id, 5);
  }
  assert.equal((await storedAs(database, 1)).hot?.['owner'], owner.id);
});
