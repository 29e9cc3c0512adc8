import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNamedTimerStore } from '../../src/store/namedTimers.ts';
import { createTestDatabase } from '../support/database.ts';
import { newTimer, registerOwner, storedAs } from '../support/storedTimers.ts';

const db = await createTestDatabase();
const { database } = db;
const named = createNamedTimerStore({ database });
after(() => db[Symbol.asyncDispose]());

test('a name is taken from a timer only while that is being delivered', async () => {
  const timer = newTimer({ key: 'name' });
  const first = await named.create(timer, null);
  assert.ok(first !== undefined);
  // Due, but waiting: for a claim, or for its retry.
  assert.equal(await named.create(timer, first.id), undefined);
  assert.equal(await named.find(1, 'name'), first.id);
  const owner = await registerOwner(database);
  const { timers } = await owner.claimAhead();
  assert.ok(timers.some(({ id }) => id === first.id));
  const second = await named.create(newTimer({ key: 'name', delayMs: 500 }), first.id);
  assert.ok(second !== undefined);
  assert.equal(await named.find(1, 'name'), second.id);
  assert.partialDeepStrictEqual((await storedAs(database, first.id)).hot, { owner: owner.id });
  // Claimed ahead, and not due.
  await owner.claimAhead();
  assert.equal(await named.create(timer, second.id), undefined);
  assert.equal(await named.find(1, 'name'), second.id);
});
