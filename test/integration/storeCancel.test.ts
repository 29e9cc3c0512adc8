import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTimerCanceller } from '../../src/store/cancelTimers.ts';
import { createClaimStore } from '../../src/store/claim.ts';
import { createGiveBackStore } from '../../src/store/giveBacks.ts';
import { createOutcomeRecorder } from '../../src/store/outcomes.ts';
import { takeOverGuardMs } from '../../src/core/timer.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import {
  attemptOf,
  insertTimers,
  newTimer,
  randomToken,
  registerOwner,
  storedAs,
  type Owner,
} from '../support/storedTimers.ts';

const db = await createTestDatabase();
const { database } = db;
const canceller = createTimerCanceller(database);
const giveBacks = createGiveBackStore(database);
after(() => db[Symbol.asyncDispose]());

const plain = { projectId: 1, fence: null };

async function claimedBy(owner: Owner, delayMs = 0) {
  const [id] = await insertTimers(database, [newTimer({ delayMs })]);
  const timer = (await owner.claimAhead()).timers.find((candidate) => candidate.id === id);
  assert.ok(timer !== undefined);
  return timer;
}

test('a timer that nobody owns is cancelled, once, and can never be claimed', async () => {
  const [id = 0, other = 0] = await insertTimers(database, [newTimer(), newTimer()]);
  assert.deepEqual(await canceller.add({ ...plain, id: id as never }), true);
  const { hot, history, attempts } = await storedAs(database, id);
  assert.equal(hot, undefined);
  assert.deepEqual(attempts, []);
  assert.partialDeepStrictEqual(history, [
    { status: 'cancelled', failure_code: null, attempts: 0 },
  ]);
  assert.equal(await canceller.add({ ...plain, id: id as never }), false);
  const owner = await registerOwner(database);
  const claimed = await owner.claimAhead();
  assert.ok(!claimed.timers.some((timer) => timer.id === id));
  assert.ok(claimed.timers.some((timer) => timer.id === other));
  await createClaimStore(database).release(claimed.timers);
});

test("another project's timer is not cancelled", async () => {
  const [id] = await insertTimers(database, [newTimer()]);
  assert.ok(id !== undefined);
  assert.equal(await canceller.add({ ...plain, projectId: 2, id }), false);
  assert.notEqual((await storedAs(database, id)).hot, undefined);
});

// createTimerCanceller answers by id alone: harmless while there is one project.
test("of two projects' wishes in one flush only the owner's is answered", async () => {
  const [id] = await insertTimers(database, [newTimer()]);
  assert.ok(id !== undefined);
  const results = await Promise.all([
    canceller.add({ ...plain, projectId: 2, id }),
    canceller.add({ ...plain, projectId: 1, id }),
  ]);
  assert.deepEqual(results, [false, true]);
});

test('a retrying timer is cancelled with its attempts kept', async () => {
  const owner = await registerOwner(database);
  const timer = await claimedBy(owner);
  await createOutcomeRecorder(database).add({
    timer,
    verdict: { kind: 'retry', delayMs: 60_000 },
    attempt: attemptOf(500),
  });
  assert.equal(await canceller.add({ ...plain, id: timer.id }), true);
  const { history, attempts } = await storedAs(database, timer.id);
  assert.partialDeepStrictEqual(history, [{ status: 'cancelled', attempts: 1 }]);
  assert.equal(attempts.length, 1);
});

test('an owned timer is cancelled only under its fence', async () => {
  const owner = await registerOwner(database);
  const timer = await claimedBy(owner);
  const { id, claim } = timer;
  assert.equal(await canceller.add({ ...plain, id }), false);
  for (const fence of [
    { owner: owner.id, claim: claim + 1 },
    { owner: owner.id + 1, claim },
  ]) {
    assert.equal(await canceller.add({ ...plain, id, fence }), false);
  }
  assert.equal((await storedAs(database, id)).hot?.['claim'], claim);
  assert.equal(await canceller.add({ ...plain, id, fence: { owner: owner.id, claim } }), true);
  const recorder = createOutcomeRecorder(database);
  const late = await recorder.add({
    timer,
    verdict: { kind: 'succeeded' },
    attempt: attemptOf(200),
  });
  assert.equal(late, 'stale', 'no outcome after a cancel');
});

test('a timer of a dead owner is cancelled only once its lapse is longer past than the guard', async () => {
  const owner = await registerOwner(database);
  const due = await claimedBy(owner);
  const notDue = await claimedBy(owner, 950);
  await owner.die(takeOverGuardMs - 300);
  assert.equal(await canceller.add({ ...plain, id: due.id }), false);
  await sql(
    database,
    `UPDATE belfry.timers SET next_at = (SELECT expires_at FROM belfry.processes WHERE id = $1)
       + interval '1 millisecond' WHERE id = $2`,
    [owner.id, notDue.id],
  );
  await owner.die(takeOverGuardMs);
  // That lapse may now lie before the first one was due: it lies after it by the store's own clock.
  await sql(
    database,
    `UPDATE belfry.timers SET next_at = (SELECT expires_at FROM belfry.processes WHERE id = $1)
       - interval '1 millisecond' WHERE id = $2`,
    [owner.id, due.id],
  );
  assert.equal(await canceller.add({ ...plain, id: due.id }), true);
  assert.equal(await canceller.add({ ...plain, id: notDue.id }), true);
  const one = await storedAs(database, due.id);
  assert.partialDeepStrictEqual(one.history, [{ status: 'cancelled', attempts: 1 }]);
  assert.partialDeepStrictEqual(one.attempts, [
    { number: 1, error_code: 'lost', claim: due.claim, started_at: null },
  ]);
  const two = await storedAs(database, notDue.id);
  assert.partialDeepStrictEqual(two.history, [{ status: 'cancelled', attempts: 0 }]);
  assert.deepEqual(two.attempts, [], 'it came due after the lapse: nothing was started');
});

test('a cancel and a claim that race leave the timer to exactly one of them', async () => {
  const owner = await registerOwner(database);
  for (let round = 0; round < 60; round++) {
    const [id] = await insertTimers(database, [newTimer()]);
    assert.ok(id !== undefined);
    const [claimed, cancelled] = await Promise.all([
      owner.claimAhead(),
      canceller.add({ ...plain, id }),
    ]);
    assert.notEqual(
      claimed.timers.some((timer) => timer.id === id),
      cancelled,
      `round ${round}`,
    );
  }
});

test('a request to give back and its withdrawal race: exactly one side wins, 200 times', async (t) => {
  const owner = await registerOwner(database);
  let withdrawn = 0;
  for (let from = 0; from < 200; from += 20) {
    const ids = await insertTimers(
      database,
      Array.from({ length: 20 }, () => newTimer()),
    );
    const { timers } = await owner.claimAhead();
    assert.equal(timers.length, ids.length);
    await Promise.all(
      timers.map(async ({ id, claim }) => {
        const giveBackId = randomToken();
        await giveBacks.ask({ id: giveBackId, owner: owner.id, timerId: id });
        const fence = { owner: owner.id, claim };
        const withdraw = async () => {
          // A quarter surely too late, the others anywhere in the life of the flush.
          if (id % 4 === 0) await given;
          else await sleep(Math.random() * 4);
          return giveBacks.close(giveBackId);
        };
        const given = giveBacks.give(giveBackId, { id, ...fence });
        const [wasGiven, wasClosed] = await Promise.all([given, withdraw()]);
        assert.equal(wasGiven, !wasClosed);
        const { hot } = await storedAs(database, id);
        assert.equal(hot?.['owner'], wasGiven ? null : owner.id);
        if (wasClosed) withdrawn += 1;
        assert.ok(await canceller.add({ ...plain, id, fence: wasGiven ? null : fence }));
      }),
    );
  }
  assert.deepEqual(await giveBacks.pending(owner.id), []);
  assert.ok(withdrawn < 200, 'the owner never wins');
  if (withdrawn === 0) t.diagnostic('no withdrawal won: the race was one-sided this time');
});

test('a request is seen by the owner that it asks, and closed by one side only', async () => {
  const owner = randomToken();
  const [timerId] = await insertTimers(database, [newTimer({ delayMs: 1e6 })]);
  assert.ok(timerId !== undefined);
  const id = randomToken();
  await giveBacks.ask({ id, owner, timerId });
  assert.deepEqual(await giveBacks.pending(owner), [{ id, timerId }]);
  assert.deepEqual(await giveBacks.pending(owner + 1), []);
  const closed = await Promise.all([giveBacks.close(id), giveBacks.close(id)]);
  assert.deepEqual(
    closed.toSorted((a, b) => Number(a) - Number(b)),
    [false, true],
  );
  await giveBacks.ask({ id, owner, timerId });
  await giveBacks.forget();
  assert.equal((await giveBacks.pending(owner)).length, 1, 'a fresh one is kept');
  await sql(database, `UPDATE belfry.give_backs SET requested_at = now() - interval '2 minutes'`);
  await giveBacks.forget();
  assert.deepEqual(await giveBacks.pending(owner), []);
});
