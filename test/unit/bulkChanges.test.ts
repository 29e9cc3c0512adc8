import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBulkFilter, type BulkWish } from '../../src/core/bulkChange.ts';
import { createBulkTokens } from '../../src/core/bulkToken.ts';
import { BelfryError } from '../../src/core/errors.ts';
import { timerIdFromDatabase, type TimerId } from '../../src/core/ids.ts';
import {
  createBulkChanges,
  type BulkChange,
  type TimerWalk,
} from '../../src/scheduler/bulkChanges.ts';

/** Timers 1 to `count`, of which every batch that is found takes 600 ms of the clock. */
function world(count: number, cancel: BulkChange) {
  let monotonicMs = 0;
  const asked: Parameters<TimerWalk['identities']>[0][] = [];
  const stopping = new AbortController();
  const bulk = createBulkChanges({
    walk: {
      nowMs: () => Promise.resolve(1_000),
      identities(query) {
        asked.push(query);
        monotonicMs += 600;
        const { position, limit } = query;
        const top = position?.order === 'newest' ? position.beforeId - 1 : count;
        const size = Math.min(limit, top);
        return Promise.resolve({
          entries: Array.from({ length: size }, (_, n) => ({ id: timerIdFromDatabase(top - n) })),
          examined: size + 1,
          next: size === top ? null : { order: 'newest', beforeId: top - size + 1, fromId: 0 },
        });
      },
    },
    changes: { cancel, retry: () => Promise.reject(new Error('not asked for')) },
    tokens: createBulkTokens({ secret: 's', nowMs: () => 0 }),
    clock: { monotonicMs: () => monotonicMs },
    signal: stopping.signal,
  });
  return { bulk, asked, stopping };
}

const begin = () => Promise.resolve();
const wish: BulkWish = {
  projectId: 7,
  action: 'cancel',
  filter: parseBulkFilter('cancel', { label: 'a' }),
};

test('steps go on where the one before has stopped, to the end, once over each timer', async () => {
  const seen: TimerId[] = [];
  const { bulk, asked } = world(2_000, (_, id) => {
    seen.push(id);
    if (id % 100 === 1) return Promise.reject(new BelfryError('owner_unresponsive', 'no answer'));
    return Promise.resolve(id % 100 !== 2);
  });
  let token: string | null = (await bulk.plan(wish)).token;
  const steps = [];
  while (token !== null) {
    const step = await bulk.step(wish, token, begin);
    token = step.token;
    steps.push(step.totals);
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 2_000 }, (_, n) => 2_000 - n),
  );
  assert.deepEqual(
    steps.map(({ changed, skipped, failed }) => changed + skipped + failed),
    [800, 1_600, 2_000],
  );
  assert.deepEqual(steps.at(-1), { changed: 1_960, skipped: 20, failed: 20, examined: 2_010 });
  for (const { projectId, filter } of asked) {
    assert.equal(projectId, 7);
    assert.deepEqual(filter, { ...wish.filter, createdBeforeMs: 1_001 });
  }
});

test('a dry run that cannot count to the end says so, and a filter of its own bound keeps it', async () => {
  const { bulk, asked } = world(50_000, () => Promise.resolve(true));
  const { count, isComplete } = await bulk.plan(wish);
  assert.deepEqual([count, isComplete], [20_000, false]);
  const earlier = { ...wish, filter: { ...wish.filter, createdBeforeMs: 10 } };
  await bulk.plan(earlier);
  assert.equal(asked.at(-1)?.filter.createdBeforeMs, 10);
});

test('a step that failed is repeated with its token, and waits for all that it began', async () => {
  let isDown = true;
  let running = 0;
  const { bulk } = world(10, async (_, id) => {
    running += 1;
    await new Promise(setImmediate);
    running -= 1;
    if (isDown && id === 9) throw new BelfryError('store_unavailable', 'away');
    return true;
  });
  const { token } = await bulk.plan(wish);
  await assert.rejects(bulk.step(wish, token, begin), { code: 'store_unavailable' });
  assert.equal(running, 0);
  isDown = false;
  const { totals, token: rest } = await bulk.step(wish, token, begin);
  assert.deepEqual([totals.changed, rest], [10, null]);
});

test('a service that stops ends its step behind the batch at hand', async () => {
  const { bulk, stopping } = world(2_000, () => Promise.resolve(true));
  const { token } = await bulk.plan(wish);
  stopping.abort();
  const { totals, token: rest } = await bulk.step(wish, token, begin);
  assert.equal(totals.changed, 200);
  assert.notEqual(rest, null);
});
