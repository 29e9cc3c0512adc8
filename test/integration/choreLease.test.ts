import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createChores, type Chore } from '../../src/scheduler/chores.ts';
import { createChoreLeaseStore } from '../../src/store/choreLease.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createTestDatabase, openDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createOldPartition, retentionOf, tableNames } from '../support/retention.ts';

const db = await createTestDatabase();
const { database } = db;
const leases = createChoreLeaseStore(database);
after(() => db[Symbol.asyncDispose]());

const ttlMs = 60_000;

async function lapse(name: string): Promise<void> {
  await sql(
    database,
    'UPDATE belfry.chore_leases SET expires_at = clock_timestamp() WHERE name = $1',
    [name],
  );
}

test('of many who ask at once exactly one gets the lease, and keeps it until it gives it up', async () => {
  for (let round = 0; round < 20; round++) {
    const owners = [1, 2, 3, 4, 5, 6];
    const got = await Promise.all(owners.map((owner) => leases.acquire('one', owner, ttlMs)));
    assert.equal(got.filter(Boolean).length, 1);
    const holder = owners[got.indexOf(true)] ?? 0;
    assert.equal(await leases.renew('one', holder, ttlMs), true);
    assert.equal(await leases.acquire('one', 7, ttlMs), false);
    assert.equal(await leases.renew('one', 7, ttlMs), false);
    await leases.release('one', 7);
    assert.equal(await leases.acquire('one', 7, ttlMs), false, 'only the holder gives it up');
    await leases.release('one', holder);
  }
});

test('a lapsed lease goes to one of those who ask; its old owner cannot renew, nor give up the new', async () => {
  assert.equal(await leases.acquire('lapsed', 1, ttlMs), true);
  await lapse('lapsed');
  const got = await Promise.all([2, 3, 4].map((owner) => leases.acquire('lapsed', owner, ttlMs)));
  assert.equal(got.filter(Boolean).length, 1);
  assert.equal(await leases.renew('lapsed', 1, ttlMs), false);
  await leases.release('lapsed', 1);
  assert.equal(await leases.acquire('lapsed', 1, ttlMs), false);
});

test('a lease that lapsed but that nobody took is renewed; one that was given up is not', async () => {
  assert.equal(await leases.acquire('slow', 1, ttlMs), true);
  await lapse('slow');
  assert.equal(await leases.renew('slow', 1, ttlMs), true);
  assert.equal(await leases.acquire('slow', 2, ttlMs), false);
  await leases.release('slow', 1);
  assert.equal(await leases.renew('slow', 1, ttlMs), false);
});

test('each chore has a lease of its own', async () => {
  assert.equal(await leases.acquire('this', 1, ttlMs), true);
  assert.equal(await leases.acquire('that', 2, ttlMs), true);
});

test('a chore with a shorter lease of its own is taken over when that has lapsed', async () => {
  const runs: string[] = [];
  const brief = (owner: string): Chore => ({
    name: 'brief',
    everyMs: 1,
    lease: true,
    leaseTtlMs: 300,
    run() {
      runs.push(owner);
      // As if its process had died: it never gives the lease up.
      return new Promise(() => undefined);
    },
  });
  for (const owner of ['first', 'second']) {
    createChores({ chores: [brief(owner)], leases, leaseTtlMs: ttlMs, log: silentLog() }).start();
  }
  await eventually('both', () => runs.length === 2);
});

test('two processes: one at a time runs the chore, and both get their turns', async () => {
  const databases = [openDatabase(db.url), openDatabase(db.url)];
  const runs = [0, 0];
  let running = 0;
  let runningMax = 0;
  const both = databases.map((own, index) =>
    createChores({
      chores: [
        {
          name: 'turns',
          everyMs: 1,
          lease: true,
          async run(turn) {
            running += 1;
            runningMax = Math.max(runningMax, running);
            for (let step = 0; step < 3; step++) await turn.mayGoOn();
            runs[index] = (runs[index] ?? 0) + 1;
            running -= 1;
          },
        },
      ],
      leases: createChoreLeaseStore(own),
      leaseTtlMs: ttlMs,
      log: silentLog(),
    }),
  );
  for (const chores of both) chores.start();
  await eventually('turns of both', () => runs.every((count) => count >= 10));
  await Promise.all(both.map((chores) => chores.stop()));
  for (const own of databases) await own.close();
  assert.equal(runningMax, 1);
  const left = await sql(database, `SELECT FROM belfry.chore_leases WHERE name = 'turns'`);
  assert.equal(left.length, 0, 'given up at the end');
});

test('a run whose lease another has taken over, or whose process stops, goes no step further', async () => {
  const answers: boolean[] = [];
  let rob: (() => Promise<void>) | undefined = async () => {
    await lapse('robbed');
    assert.equal(await leases.acquire('robbed', 1, ttlMs), true);
  };
  const steps: Chore = {
    name: 'robbed',
    everyMs: 1,
    lease: true,
    async run(turn) {
      answers.push(await turn.mayGoOn());
      const robOnce = rob;
      rob = undefined;
      await robOnce?.();
      answers.push(await turn.mayGoOn());
    },
  };
  const chores = createChores({ chores: [steps], leases, leaseTtlMs: ttlMs, log: silentLog() });
  chores.start();
  await eventually('a run', () => answers.length >= 2);
  await chores.stop();
  assert.deepEqual(answers, [true, false]);
  assert.equal(await leases.renew('robbed', 1, ttlMs), true, 'the robber still has it');

  let asked: boolean | undefined;
  const stopping = createChores({
    chores: [
      {
        name: 'stopped',
        everyMs: 1,
        lease: true,
        async run(turn) {
          void stopping.stop();
          asked = await turn.mayGoOn();
        },
      },
    ],
    leases,
    leaseTtlMs: ttlMs,
    log: silentLog(),
  });
  stopping.start();
  await eventually('the question', () => asked !== undefined);
  await stopping.stop();
  assert.equal(asked, false);
});

test('when the process that holds retention is killed, another goes on once the lease has lapsed', async () => {
  const past = await createOldPartition(database, { table: 'history_done', from: 40, to: 39 });
  const lapsesMs = 2_000;
  const holder = spawn(
    process.execPath,
    [join(import.meta.dirname, '../support/choreHolder.ts'), db.url, 'retention', String(lapsesMs)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(holder.stdout, 'data');
  const heldAtMs = performance.now();
  const other = createChores({
    chores: [{ name: 'retention', everyMs: 5, lease: true, run: retentionOf(database).run }],
    leases,
    leaseTtlMs: lapsesMs,
    log: silentLog(),
  });
  other.start();
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  try {
    await eventually('the drop', async () => !(await tableNames(database)).includes(past));
    // By this clock it was acquired a little before it was heard of.
    assert.ok(performance.now() - heldAtMs > lapsesMs - 1_000, 'not while the lease lasted');
  } finally {
    await other.stop();
  }
});
