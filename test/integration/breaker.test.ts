import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { request } from '../support/http.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';

interface Lane {
  readonly reason: string | null;
  readonly probes: number;
  readonly waiting: number;
}

async function laneOf(db: TestDatabase, origin: string): Promise<Lane | undefined> {
  const [row] = await sql<[string | null, number, number]>(
    db.database,
    `SELECT closed_reason, probes,
       (SELECT count(*) FROM belfry.timers t WHERE t.parked_lane = l.id)
     FROM belfry.lanes l WHERE target = $1 AND state <> 'open'`,
    [origin],
  );
  return row === undefined ? undefined : { reason: row[0], probes: row[1], waiting: row[2] };
}

function arrivalsSince(receiver: Receiver, from: number): number[] {
  return receiver.arrivals.slice(from).map(({ atMs }) => atMs);
}

test('a dead destination is left alone but for probes, by all processes; the first success lets all go', async (t: TestContext) => {
  await using db = await createTestDatabase();
  let isDead = true;
  await using receiver = await startReceiver((res) => {
    res.statusCode = isDead ? 500 : 200;
    res.end();
  });
  await using other = await startReceiver();
  const environment = { RETRY_MAX_ATTEMPTS: '100', RETRY_BASE: '0.2', RETRY_FACTOR: '1' };
  await using one = await startTestApp(db.url, environment);
  await using two = await startTestApp(db.url, environment);
  const count = 200;
  for (let index = 0; index < count; index += 1) {
    await (index % 2 === 0 ? one : two).post({ url: receiver.url });
  }
  await eventually('a second probe has failed, and all wait', async () => {
    const lane = await laneOf(db, receiver.url);
    return lane?.reason === 'failing' && lane.probes === 2 && lane.waiting === count;
  });
  const tried = receiver.arrivals.length;
  t.diagnostic(`${tried} tried until then`);
  // Each process by itself counts to ten, and some are under way when the tenth fails.
  assert.ok(tried >= 12 && tried < 60, `${tried} tried`);
  await one.post({ url: other.url });
  await other.arrived(1);
  isDead = false;
  await receiver.arrived(tried + count, 40_000);
  await eventually('nothing is left', async () => {
    const rows = await sql(
      db.database,
      `SELECT id FROM belfry.lanes WHERE state <> 'open' UNION ALL SELECT id FROM belfry.timers`,
    );
    return rows.length === 0;
  });
  const done = await sql<[string, number]>(
    db.database,
    'SELECT status, count(*) FROM belfry.history GROUP BY status',
  );
  assert.deepEqual(done, [['succeeded', count + 1]]);
});

test('one that asks for less is left alone for as long as it says, and the timers are not lost', async () => {
  await using db = await createTestDatabase();
  let asked = true;
  await using receiver = await startReceiver((res) => {
    if (asked) {
      asked = false;
      res.statusCode = 429;
      res.setHeader('retry-after', '2');
    }
    res.end();
  });
  await using app = await startTestApp(db.url, { RETRY_BASE: '0.1' });
  await app.post({ url: receiver.url });
  await receiver.arrived(1);
  const firstAtMs = receiver.arrivals[0]?.atMs ?? NaN;
  await eventually(
    'it is closed',
    async () => (await laneOf(db, receiver.url))?.reason === 'slowed',
  );
  await app.post({ url: `${receiver.url}/other` });
  await receiver.arrived(3);
  for (const atMs of arrivalsSince(receiver, 1)) {
    assert.ok(atMs - firstAtMs >= 1_950, `came after ${atMs - firstAtMs} ms`);
  }
});

test('one that fails for too long is disabled, which the audit log tells, until it is reset', async () => {
  await using db = await createTestDatabase();
  let isDead = true;
  await using receiver = await startReceiver((res) => {
    res.statusCode = isDead ? 500 : 200;
    res.end();
  });
  await using app = await startTestApp(db.url, {
    BREAKER_FAILURES: '2',
    DISABLE_AFTER: '1',
    RETRY_MAX_ATTEMPTS: '100',
    RETRY_BASE: '0.1',
    RETRY_FACTOR: '1',
  });
  await app.post({ url: receiver.url });
  await eventually(
    'it is disabled',
    async () => (await laneOf(db, receiver.url))?.reason === 'disabled',
  );
  const tried = receiver.arrivals.length;
  isDead = false;
  await sleep(1_500);
  assert.equal(receiver.arrivals.length, tried);
  const audit = await sql(
    db.database,
    `SELECT action, actor_kind, target FROM belfry.audit_log WHERE action LIKE 'breaker.%'`,
  );
  assert.deepEqual(audit, [['breaker.disable', 'service', receiver.url]]);
  const listed = await app.get('/breakers');
  assert.partialDeepStrictEqual(listed.body, {
    breakers: [{ destination: receiver.url, state: 'disabled', next_probe_at: null }],
  });
  const reset = `${app.url}/breakers/${encodeURIComponent(receiver.url)}/reset`;
  assert.equal((await request(reset, { method: 'POST' })).status, 200);
  await receiver.arrived(tried + 1);
  assert.deepEqual((await app.get('/breakers')).body, { breakers: [] });
  assert.equal((await request(reset, { method: 'POST' })).status, 404);
});

test('a receiver that answers is not dead, whatever it says of a path', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver((res) => {
    res.statusCode = 404;
    res.end();
  });
  await using app = await startTestApp(db.url, { BREAKER_FAILURES: '2', RETRY_MAX_ATTEMPTS: '1' });
  for (let index = 0; index < 20; index += 1) await app.post({ url: receiver.url });
  await receiver.arrived(20);
  assert.equal(await laneOf(db, receiver.url), undefined);
});
