import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';
import { insertMany } from '../support/storedTimers.ts';

const other = 2;

async function withOtherProject(): Promise<TestDatabase> {
  const db = await createTestDatabase();
  await sql(db.database, `INSERT INTO belfry.projects (id, name) VALUES (${other}, 'other')`);
  return db;
}

/** How late timers are, the last of them, that the first project creates due from now to in 1.5 s. */
async function lateness(app: TestApp, receiver: Receiver): Promise<number> {
  const created = await Promise.all(
    Array.from({ length: 60 }, (_, index) =>
      app.post({ url: `${receiver.url}/mine`, delay: index / 40 }),
    ),
  );
  const lateMs = created.map(({ status, body }) => {
    assert.equal(status, 201);
    const path = `/mine/${String(body['id'])}`;
    return eventually(`timer ${path} arrives`, () => {
      const arrival = receiver.arrivals.find((one) => one.path === path);
      return arrival === undefined ? undefined : arrival.atMs - Date.parse(String(body['due_at']));
    });
  });
  return Math.max(...(await Promise.all(lateMs)));
}

test('a project whose receivers are all slow, however many, takes neither the room nor the slots', async () => {
  await using db = await withOtherProject();
  await using receiver = await startReceiver();
  const held: ServerResponse[] = [];
  const slow = createServer((_, res) => void held.push(res));
  await new Promise<void>((resolve) => slow.listen(0, '0.0.0.0', resolve));
  const { port } = slow.address() as AddressInfo;
  // No crowd at any of them, so nothing waits in a lane: more than a process may hold, and slots for few.
  for (let host = 1; host <= 60; host++) {
    const url = `http://127.0.1.${host}:${port}/slow`;
    await insertMany(db.database, { projectId: other, count: 150, dueInMs: '-n', url });
  }
  await using app = await startTestApp(db.url, { WEBHOOK_TIMEOUT: '60', CONCURRENCY: '400' });
  await eventually('the other project has what it gets', () => held.length === 360);
  const lateMs = await lateness(app, receiver);
  assert.ok(lateMs < 2_000, `${lateMs} ms late`);
  assert.equal(held.length, 360, 'nine tenths of the slots');
  for (const res of held) res.end();
  slow.removeAllListeners('request');
  slow.on('request', (_, res) => res.end());
  await eventually(
    'all of the other project is done',
    async () => {
      const [row] = await sql<[number]>(db.database, 'SELECT count(*)::integer FROM belfry.timers');
      return row?.[0] === 0;
    },
    60_000,
  );
  const [done] = await sql<[number]>(
    db.database,
    `SELECT count(*)::integer FROM belfry.history WHERE project_id = ${other} AND status = 'succeeded'`,
  );
  assert.equal(done?.[0], 9_000);
  await new Promise((resolve) => slow.close(resolve));
});

test('a crowd of one project that is due at once goes out beside the timers of another', async () => {
  await using db = await withOtherProject();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url);
  await insertMany(db.database, {
    projectId: other,
    count: 10_000,
    dueInMs: '1500 + n / 10',
    url: `${receiver.url}/theirs`,
  });
  await receiver.arrived(1);
  const lateMs = await lateness(app, receiver);
  const theirs = () => receiver.arrivals.filter(({ path }) => path.startsWith('/theirs')).length;
  assert.ok(theirs() < 10_000, 'all of it is over already');
  assert.ok(lateMs < 1_500, `${lateMs} ms late`);
  await eventually('all of it arrives, once', () => theirs() === 10_000, 60_000);
});
