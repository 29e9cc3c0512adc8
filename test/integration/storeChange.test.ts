import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { takeOverGuardMs } from '../../src/core/timer.ts';
import { createTimerChanger, type TimerChange } from '../../src/store/changeTimers.ts';
import { createOutcomeRecorder } from '../../src/store/outcomes.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import {
  attemptOf,
  insertTimers,
  newTimer,
  registerOwner,
  storedAs,
} from '../support/storedTimers.ts';

const db = await createTestDatabase();
const { database } = db;
const { change } = createTimerChanger({ database });
after(() => db[Symbol.asyncDispose]());

const moved = {
  projectId: 1,
  fence: null,
  version: null,
  key: null,
  due: { kind: 'after', delayMs: 3_600_000 },
  content: null,
  startsAnew: false,
} as const satisfies Omit<TimerChange, 'id'>;
const {
  projectId: _project,
  due: _due,
  key: _key,
  idempotencyKey: _,
  ...content
} = newTimer({
  request: { url: 'http://127.0.0.1:9/other' },
});

/** Both statements: the one that only moves, and the one that replaces. */
const ways = [moved, { ...moved, content }];

test('only what is free, or under its fence, of the version and the name that are meant, is changed', async () => {
  const owner = await registerOwner(database);
  for (const way of ways) {
    const [id] = await insertTimers(database, [newTimer()]);
    assert.ok(id !== undefined);
    for (const wrong of [{ projectId: 2 }, { version: 2 }, { key: 'another' }]) {
      assert.equal(await change({ ...way, ...wrong, id }), undefined, JSON.stringify(wrong));
    }
    const timer = (await owner.claimAhead()).timers.find((candidate) => candidate.id === id);
    assert.ok(timer !== undefined);
    const { claim } = timer;
    const fences = [null, { owner: owner.id, claim: claim + 1 }, { owner: owner.id + 1, claim }];
    for (const fence of fences) assert.equal(await change({ ...way, id, fence }), undefined);
    assert.equal(await change({ ...way, id, fence: { owner: owner.id, claim }, version: 1 }), 2);
    assert.partialDeepStrictEqual((await storedAs(database, id)).hot, {
      owner: null,
      claim: null,
      version: 2,
      url: way.content === null ? 'http://127.0.0.1:9/x' : 'http://127.0.0.1:9/other',
    });
    const late = await createOutcomeRecorder(database).add({
      timer,
      verdict: { kind: 'succeeded' },
      attempt: attemptOf(200),
    });
    assert.equal(late, 'stale', 'no outcome of the timer as it was');
  }
});

test('of two changes of one timer in one flush exactly one is made', async () => {
  for (const way of ways) {
    const [id] = await insertTimers(database, [newTimer({ delayMs: 1e6 })]);
    assert.ok(id !== undefined);
    const versions = await Promise.all([change({ ...way, id }), change({ ...way, id })]);
    assert.deepEqual(versions, [2, undefined]);
  }
});

test('a timer of a dead owner is changed once nothing of it can start, its attempt kept as lost', async () => {
  for (const way of ways) {
    const owner = await registerOwner(database);
    const [id] = await insertTimers(database, [newTimer()]);
    assert.ok(id !== undefined);
    const timer = (await owner.claimAhead()).timers.find((candidate) => candidate.id === id);
    assert.ok(timer !== undefined);
    await owner.die(takeOverGuardMs - 300);
    assert.equal(await change({ ...way, id }), undefined);
    await owner.die(takeOverGuardMs);
    await sql(
      database,
      `UPDATE belfry.timers SET next_at = (SELECT expires_at FROM belfry.processes WHERE id = $1)
         - interval '1 millisecond' WHERE id = $2`,
      [owner.id, id],
    );
    assert.equal(await change({ ...way, id }), 2);
    const { hot, attempts } = await storedAs(database, id);
    assert.partialDeepStrictEqual(hot, { owner: null, attempts: 1, lost_in_row: 1, version: 2 });
    assert.partialDeepStrictEqual(attempts, [
      { number: 1, error_code: 'lost', claim: timer.claim, started_at: null },
    ]);
  }
});
