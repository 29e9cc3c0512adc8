import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.ts';
import { setDestination } from '../support/destinationSettings.ts';
import { eventually } from '../support/eventually.ts';
import { assertEachOnce, assertSettled, createNow, parkedCount } from '../support/lanes.ts';
import { startReceiver } from '../support/receiver.ts';

async function isLaneOpen(db: TestDatabase): Promise<boolean> {
  const [row] = await sql<[string]>(
    db.database,
    `SELECT state FROM belfry.lanes WHERE kind = 'destination'`,
  );
  return row?.[0] === 'open';
}

test('a destination that recovers is worked off, each timer once, and its lane opens', async () => {
  await using db = await createTestDatabase();
  const held: (() => void)[] = [];
  let isSlow = true;
  await using receiver = await startReceiver((res) => {
    if (isSlow) held.push(() => res.end());
    else res.end();
  });
  await using one = await startTestApp(db.url, {
    DESTINATION_CONCURRENCY: '8',
    WEBHOOK_TIMEOUT: '30',
  });
  await using two = await startTestApp(db.url, {
    DESTINATION_CONCURRENCY: '8',
    WEBHOOK_TIMEOUT: '30',
  });
  await createNow([one, two], receiver.url, 600);
  await eventually('most wait in the lane', async () => (await parkedCount(db)) > 400);
  isSlow = false;
  for (const end of held) end();
  await receiver.arrived(600);
  await assertSettled(db);
  assertEachOnce(receiver, 600);
});

test('a lane opens though there is always a timer ahead, which then goes its ordinary way', async () => {
  await using db = await createTestDatabase();
  const held: (() => void)[] = [];
  let isSlow = true;
  await using receiver = await startReceiver((res) => {
    if (isSlow) held.push(() => res.end());
    else res.end();
  });
  await using app = await startTestApp(db.url, {
    DESTINATION_CONCURRENCY: '4',
    WEBHOOK_TIMEOUT: '30',
  });
  await createNow([app], receiver.url, 100);
  await eventually('most wait in the lane', async () => (await parkedCount(db)) > 50);
  let count = 100;
  let isFlowing = true;
  const flow = (async () => {
    while (isFlowing) {
      assert.equal((await app.post({ url: receiver.url, delay: 0.7 })).status, 201);
      count += 1;
      await sleep(20);
    }
  })();
  await eventually('some wait there ahead of due', async () => {
    const text =
      'SELECT 1 FROM belfry.timers WHERE parked_lane IS NOT NULL AND next_at > now() LIMIT 1';
    return (await sql(db.database, text)).length > 0;
  });
  isSlow = false;
  for (const end of held) end();
  await eventually('the lane is open', () => isLaneOpen(db), 10_000);
  isFlowing = false;
  await flow;
  await receiver.arrived(count);
  await assertSettled(db);
  assertEachOnce(receiver, count);
});

test('a concurrency of one is of two processes together, and the one without a permit leaves nothing behind', async () => {
  await using db = await createTestDatabase();
  let open = 0;
  let most = 0;
  await using receiver = await startReceiver((res) => {
    open += 1;
    most = Math.max(most, open);
    setTimeout(() => {
      open -= 1;
      res.end();
    }, 20);
  });
  await using one = await startTestApp(db.url);
  await using two = await startTestApp(db.url);
  await setDestination(one, receiver.url, { concurrency: 1 });
  // Until both know it and each other, and have permits.
  await sleep(2_500);
  await createNow([one, two], receiver.url, 40);
  await receiver.arrived(40);
  await assertSettled(db);
  assertEachOnce(receiver, 40);
  assert.equal(most, 1);
});

test('a process that stops while others wait in a lane gives back what it has pulled', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver((res) => void setTimeout(() => res.end(), 50));
  const environment = { DESTINATION_CONCURRENCY: '4' };
  await using two = await startTestApp(db.url, environment);
  await setDestination(two, receiver.url, { concurrency: 20 });
  for (let round = 1; round <= 3; round++) {
    await using one = await startTestApp(db.url, environment);
    await createNow([one, two], receiver.url, 60);
    await receiver.arrived((round - 1) * 60 + 10);
  }
  await receiver.arrived(180);
  await assertSettled(db);
  assertEachOnce(receiver, 180);
});

test('a rate that is lifted holds nobody up any longer', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url);
  await setDestination(app, receiver.url, { rate: { count: 6, per: 'minute' } });
  await createNow([app], receiver.url, 200);
  await eventually('all but the first wait', async () => (await parkedCount(db)) === 199);
  await setDestination(app, receiver.url, {});
  await receiver.arrived(200, 10_000);
  await assertSettled(db);
  assertEachOnce(receiver, 200);
});
