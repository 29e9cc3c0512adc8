import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createListener, type Notice } from '../../src/store/listener.ts';
import { createGiveBackStore } from '../../src/store/giveBacks.ts';
import { createProcessStore } from '../../src/store/processes.ts';
import { checkServer } from '../../src/store/serverCheck.ts';
import { createWakeUps } from '../../src/store/wakeUps.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createTestDatabase, openDatabase, sql, testServerUrl } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { randomToken } from '../support/storedTimers.ts';

const db = await createTestDatabase();
const { database } = db;
const processes = createProcessStore(database);
after(() => db[Symbol.asyncDispose]());

async function processRow(id: number): Promise<{ dead: boolean; expiresInMs: number } | undefined> {
  const [row] = await sql<[boolean, number]>(
    database,
    `SELECT dead, extract(epoch FROM expires_at - clock_timestamp())::float8 * 1000
     FROM belfry.processes WHERE id = $1`,
    [id],
  );
  return row === undefined ? undefined : { dead: row[0], expiresInMs: row[1] };
}

async function lapse(id: number, agoMs = 0): Promise<void> {
  await sql(
    database,
    `UPDATE belfry.processes SET expires_at = clock_timestamp() - $2 * interval '1 millisecond'
     WHERE id = $1`,
    [id, agoMs],
  );
}

test('a renewal extends the heartbeat and tells the clock of the database', async () => {
  const id = randomToken();
  await processes.register(id, 1_000);
  const [before] = await sql<[number]>(database, 'SELECT clock_timestamp()');
  const renewedAtMs = await processes.renew(id, 60_000);
  const [now] = await sql<[number]>(database, 'SELECT clock_timestamp()');
  assert.ok(renewedAtMs !== undefined && (before?.[0] ?? Infinity) <= renewedAtMs);
  assert.ok(renewedAtMs <= (now?.[0] ?? 0));
  assert.ok(((await processRow(id))?.expiresInMs ?? 0) > 58_000);
});

test('a lapsed heartbeat can be renewed as long as nobody has declared the death', async () => {
  const id = randomToken();
  await processes.register(id, 60_000);
  await lapse(id);
  assert.notEqual(await processes.renew(id, 60_000), undefined);
  assert.ok(((await processRow(id))?.expiresInMs ?? 0) > 0);
  assert.deepEqual((await processes.declareDead()).includes(id), false);
  assert.equal(await processes.renew(randomToken(), 60_000), undefined, 'not one unknown');
});

test('only lapsed processes are declared dead, each by one caller, and for good', async () => {
  const [lapsed, living] = [randomToken(), randomToken()];
  await processes.register(lapsed, 60_000);
  await processes.register(living, 60_000);
  await lapse(lapsed);
  const declared = (await Promise.all([1, 2, 3].map(() => processes.declareDead()))).flat();
  assert.equal(declared.filter((id) => id === lapsed).length, 1);
  assert.ok(!declared.includes(living));
  assert.equal((await processRow(living))?.dead, false);
  await sql(
    database,
    `UPDATE belfry.processes SET expires_at = now() + interval '1 minute' WHERE id = $1`,
    [lapsed],
  );
  assert.equal(await processes.renew(lapsed, 60_000), undefined, 'dead stays dead');
});

test('a renewal and a declaration of death that race: exactly one of them wins', async () => {
  const outcomes = { renewed: 0, dead: 0 };
  for (let round = 0; round < 120; round++) {
    const id = randomToken();
    await processes.register(id, round % 6);
    const [renewedAtMs, declared] = await Promise.all([
      processes.renew(id, 60_000),
      processes.declareDead(),
    ]);
    const wasDeclared = declared.includes(id) || (await processes.declareDead()).includes(id);
    assert.notEqual(renewedAtMs !== undefined, wasDeclared, `round ${round}`);
    assert.equal((await processRow(id))?.dead, wasDeclared);
    outcomes[wasDeclared ? 'dead' : 'renewed'] += 1;
  }
  assert.ok(outcomes.renewed > 0 && outcomes.dead > 0, JSON.stringify(outcomes));
});

test('a retired process is dead at once, and its lapse is not later than now', async () => {
  const id = randomToken();
  await processes.register(id, 60_000);
  await processes.retire(id);
  const row = await processRow(id);
  assert.equal(row?.dead, true);
  assert.ok((row?.expiresInMs ?? 1) <= 0);
});

test('forget deletes only what died so long ago', async () => {
  const [old, fresh, living] = [randomToken(), randomToken(), randomToken()];
  for (const id of [old, fresh, living]) await processes.register(id, 60_000);
  await lapse(old, 60_000);
  await lapse(fresh, 1_000);
  await processes.declareDead();
  await processes.forget(30_000);
  assert.equal(await processRow(old), undefined);
  assert.equal((await processRow(fresh))?.dead, true);
  assert.equal((await processRow(living))?.dead, false);
});

test('a listener hears notices, and hears them again after its connection was terminated', async () => {
  const notices: Notice[] = [];
  const listener = createListener({
    onConnected: () => undefined,
    url: db.url,
    onNotice: (notice) => notices.push(notice),
    log: silentLog(),
  });
  const giveBacks = createGiveBackStore(database);
  const wakeUps = createWakeUps(database);
  listener.start();
  try {
    for (let round = 1; round <= 3; round++) {
      await eventually('listening', () => listener.connected());
      notices.length = 0;
      await giveBacks.ask({ id: round, owner: 77, timerId: 5 as never });
      await giveBacks.announce([round, 100]);
      wakeUps.tell(2_000);
      wakeUps.tell(1_000.25);
      await sql(
        database,
        `SELECT pg_notify('belfry', 'what is this'), pg_notify('belfry', 'wake x')`,
      );
      await eventually('all notices', () => notices.length >= 4);
      assert.deepEqual(
        notices.toSorted((a, b) => a.kind.localeCompare(b.kind)),
        [
          { kind: 'answered', giveBackId: round },
          { kind: 'answered', giveBackId: 100 },
          { kind: 'asked', owner: 77 },
          { kind: 'wake', dueAtMs: 1_000 },
        ],
      );
      const ended = await sql<[boolean]>(
        database,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query = 'LISTEN belfry'`,
      );
      assert.deepEqual(ended, [[true]]);
      await eventually('the loss is noticed', () => !listener.connected());
    }
  } finally {
    await listener.stop();
    await listener.stop();
  }
  assert.equal(listener.connected(), false);
});

test('a listener that cannot connect keeps trying, and stops when told to', async () => {
  const admin = openDatabase(testServerUrl());
  const name = new URL(db.url).pathname.slice(1);
  await sql(admin, `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS false`);
  const listener = createListener({
    url: db.url,
    onNotice: () => undefined,
    onConnected: () => undefined,
    log: silentLog(),
  });
  listener.start();
  try {
    assert.equal(listener.connected(), false);
  } finally {
    await sql(admin, `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS true`);
    await admin.close();
  }
  await eventually('it connects', () => listener.connected());
  await listener.stop();
});

test('a server that does not flush commits is refused', async () => {
  await using own = await createTestDatabase();
  await checkServer(own.database);
  const name = new URL(own.url).pathname.slice(1);
  await sql(own.database, `ALTER DATABASE ${name} SET synchronous_commit = off`);
  const fresh = openDatabase(own.url);
  try {
    await assert.rejects(checkServer(fresh), /synchronous_commit = off.*must be on/);
  } finally {
    await fresh.close();
  }
  await sql(own.database, `ALTER DATABASE ${name} SET synchronous_commit = local`);
  const local = openDatabase(own.url);
  await checkServer(local);
  await local.close();
});

test('fsync off, a standby and a server older than 14 are refused, by what the server says', async () => {
  const says = (row: readonly unknown[]) =>
    checkServer({ ...database, query: () => Promise.resolve([row] as never) });
  await says([140_000, 'on', 'on', false]);
  await assert.rejects(says([180_004, 'off', 'on', false]), /fsync = off/);
  await assert.rejects(says([180_004, 'on', 'on', true]), /standby/);
  await assert.rejects(says([130_012, 'on', 'on', false]), /PostgreSQL 13; Belfry needs 14/);
});
