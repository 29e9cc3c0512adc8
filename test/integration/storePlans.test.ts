import assert from 'node:assert/strict';
import { test } from 'node:test';
import type pg from 'pg';
import type { AttemptRecord } from '../../src/core/attempt.ts';
import { timerIdFromDatabase, type TimerId } from '../../src/core/ids.ts';
import type { ClaimedTimer } from '../../src/core/timer.ts';
import { createTimerCanceller } from '../../src/store/cancelTimers.ts';
import { createTimerChanger } from '../../src/store/changeTimers.ts';
import type { Database } from '../../src/store/database.ts';
import { createDestinationLaneStore } from '../../src/store/destinationLanes.ts';
import { createFairClaimStore } from '../../src/store/fairClaim.ts';
import { createGiveBackStore } from '../../src/store/giveBacks.ts';
import { createLaneStore } from '../../src/store/lanes.ts';
import { createNamedTimerStore } from '../../src/store/namedTimers.ts';
import { createOutcomeRecorder } from '../../src/store/outcomes.ts';
import { createProcessStore } from '../../src/store/processes.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { fromStart, insertMany, newTimer } from '../support/storedTimers.ts';

const owner = 7;
const claim = 8;
const lane = 1_000_000;
const many = 20_000;
const some = 100;
/** Some look for one row more, or find theirs twice. */
const readMost = 3 * some;

interface Given {
  readonly database: Database;
  readonly ids: readonly TimerId[];
  readonly timers: readonly ClaimedTimer[];
}

const attempt: AttemptRecord = {
  startedAtMs: 0,
  latenessMs: 0,
  durationMs: 0,
  status: 200,
  errorCode: null,
};
const asked = { floor: fromStart, lookAheadMs: 0, rowsMax: some, owner, claim, lanes: [] };
const shares = { known: [{ projectId: 1, floor: fromStart, most: some }], most: some };
const everywhere = { ...asked, ...shares, walkFrom: 0, known: [] };
const turn = { ...asked, ...shares, walkFrom: null };

/** All that is asked of timers while they fire, of a hundred of them. */
const statements: Record<string, (given: Given) => Promise<unknown>> = {
  'a poll': ({ database }) => createFairClaimStore(database).claimAhead(asked),
  'a sweep': ({ database }) => createFairClaimStore(database).sweep({ ...asked, lostClaims: [] }),
  'a fair poll': ({ database }) => createFairClaimStore(database).claimAheadFairly(everywhere),
  'a turn of a fair poll': ({ database }) => createFairClaimStore(database).claimAheadFairly(turn),
  'a fair sweep': ({ database }) =>
    createFairClaimStore(database).sweepFairly({ ...everywhere, lostClaims: [] }),
  'a turn of a fair sweep': ({ database }) =>
    createFairClaimStore(database).sweepFairly({ ...turn, lostClaims: [] }),
  releasing: ({ database, timers }) => createFairClaimStore(database).release(timers),
  'recording the last attempts': ({ database, timers }) =>
    recordAll(database, timers, { kind: 'succeeded' }),
  'recording retries': ({ database, timers }) =>
    recordAll(database, timers, { kind: 'retry', delayMs: 1_000 }),
  'parking at a destination': ({ database, timers }) =>
    createDestinationLaneStore(database).parkAt(
      timers.map((timer) => ({ ...timer, origin: 'http://127.0.0.1:9' })),
    ),
  'parking in a lane': ({ database, timers }) =>
    createLaneStore(database).park(timers.map((timer) => ({ ...timer, lane }))),
  cancelling({ database, ids }) {
    const canceller = createTimerCanceller(database);
    const fence = { owner, claim };
    return Promise.all(ids.map((id) => canceller.add({ projectId: 1, id, fence })));
  },
  moving({ database, ids }) {
    const changer = createTimerChanger({ database });
    const move = { version: null, content: null, startsAnew: false, key: null } as const;
    const due = { kind: 'after', delayMs: 1_000 } as const;
    const fence = { owner, claim };
    return Promise.all(ids.map((id) => changer.change({ projectId: 1, id, due, fence, ...move })));
  },
  'creating by name, from others': ({ database, ids }) => {
    const named = createNamedTimerStore({ database });
    return Promise.all(ids.map((id) => named.create(newTimer({ key: `name-${id}` }), id)));
  },
  'giving back': ({ database, timers }) => {
    const giveBacks = createGiveBackStore(database);
    return Promise.all(timers.map((timer) => giveBacks.give(timer.id, timer)));
  },
};

function recordAll(
  database: Database,
  timers: readonly ClaimedTimer[],
  verdict: { kind: 'succeeded' } | { kind: 'retry'; delayMs: number },
): Promise<unknown> {
  const recorder = createOutcomeRecorder(database);
  return Promise.all(timers.map((timer) => recorder.add({ timer, verdict, attempt })));
}

/** Runs one of them in a transaction that is rolled back; resolves with how many rows it has read. */
async function rowsRead(
  client: pg.ClientBase,
  run: (given: Given) => Promise<unknown>,
  ids: readonly number[],
): Promise<number> {
  const query: Database['query'] = async <Row extends readonly unknown[]>(
    statement: { name: string; text: string },
    values: readonly unknown[] = [],
  ) => {
    const { rows } = await client.query<Row & unknown[]>({
      ...statement,
      values: [...values],
      rowMode: 'array',
    });
    return rows as unknown as Row[];
  };
  const timerIds = ids.map(timerIdFromDatabase);
  const timers = timerIds.map((id) => ({ id, owner, claim, projectId: 1 }) as ClaimedTimer);
  await client.query('BEGIN');
  const before = await readSoFar(client);
  await run({ database: { query } as Database, ids: timerIds, timers });
  const read = (await readSoFar(client)) - before;
  await client.query('ROLLBACK');
  return read;
}

/** Of the timers, by this transaction and perhaps some before it. */
async function readSoFar(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ read: string }>(
    `SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS read
     FROM pg_stat_xact_user_tables WHERE relname = 'timers'`,
  );
  return Number(rows[0]?.read);
}

/** The ids of a hundred, spread over all of them. */
async function claimSome(database: Database): Promise<number[]> {
  const rows = await sql<[number]>(
    database,
    `UPDATE belfry.timers SET owner = ${owner}, claim = ${claim}
     WHERE id IN (SELECT id FROM belfry.timers ORDER BY id % 197 LIMIT ${some}) RETURNING id`,
  );
  return rows.map(([id]) => id);
}

/** A lane to park in, and requests for all of them. */
async function prepare(database: Database): Promise<void> {
  await createProcessStore(database).register(owner, 600_000);
  await sql(
    database,
    `INSERT INTO belfry.lanes (id, project_id, kind, target, state) OVERRIDING SYSTEM VALUE
     VALUES (${lane}, 1, 'project', '', 'closed')`,
  );
}

async function fill(database: Database, count: number): Promise<void> {
  await insertMany(database, { count, dueInMs: '-60000 + n' });
}

async function assertFew(database: Database, client: pg.ClientBase): Promise<void> {
  const ids = await claimSome(database);
  await sql(
    database,
    `INSERT INTO belfry.give_backs (id, owner, timer_id)
     SELECT id, ${owner}, id FROM belfry.timers WHERE owner = ${owner}`,
  );
  for (const [name, run] of Object.entries(statements)) {
    const read = await rowsRead(client, run, ids);
    assert.ok(read <= readMost, `${name} has read ${read} rows of ${many} for ${some}`);
  }
}

for (const before of [0, 1, 30]) {
  test(`plans that were kept when there were ${before} timers serve when there are many`, async () => {
    await using db = await createTestDatabase();
    const { database } = db;
    await prepare(database);
    await fill(database, before);
    await sql(database, 'VACUUM ANALYZE belfry.timers');
    await database.session(async (client) => {
      // From the sixth time on a plan may be kept.
      for (const run of Object.values(statements)) {
        for (let time = 0; time < 8; time++) await rowsRead(client, run, [1]);
      }
      await fill(database, many);
      await assertFew(database, client);
    });
  });
}

test('so do those of a table that was analysed once it was emptied', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  await prepare(database);
  await fill(database, many);
  await sql(database, 'DELETE FROM belfry.timers');
  await sql(database, 'ANALYZE belfry.timers');
  await fill(database, many);
  await database.session((client) => assertFew(database, client));
});
