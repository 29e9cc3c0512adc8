import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { BelfryError } from '../../src/core/errors.ts';
import { createBatcher, type BatcherOptions } from '../../src/store/batcher.ts';
import { fakeTime, settled } from './fakes/time.ts';

/** What the server says when it refuses a statement: nothing was changed. */
function refusal(code: string): pg.DatabaseError {
  const err = new pg.DatabaseError(`refused with ${code}`, 0, 'error');
  err.severity = 'ERROR';
  err.code = code;
  return err;
}
const deadlock = () => refusal('40P01');
const dataError = () => refusal('22003');
const lost = () => new BelfryError('commit_unknown', 'connection lost');

/** Flushes that end when told to; each result is its item, doubled. */
function setUp(over: Partial<BatcherOptions<number, number>> = {}) {
  const flushes: {
    items: readonly number[];
    attempt: number;
    commit: () => void;
    fail: (err: unknown) => void;
  }[] = [];
  const batcher = createBatcher<number, number>({
    name: 'numbers',
    onLoss: 'fail',
    flush: (items, attempt) =>
      new Promise((resolve, reject) =>
        flushes.push({
          items,
          attempt,
          commit: () => resolve(items.map((item) => item * 2)),
          fail: reject,
        }),
      ),
    ...over,
  });
  const last = () => {
    const flush = flushes.at(-1);
    assert.ok(flush !== undefined, 'a flush is under way');
    return flush;
  };
  return { batcher, flushes, last };
}

/** Says of each promise whether it is settled, without waiting for it. */
async function states(promises: readonly Promise<unknown>[]): Promise<string[]> {
  const pending = Symbol('pending');
  return Promise.all(
    promises.map((promise) =>
      Promise.race([promise, Promise.resolve(pending)]).then(
        (value) => (value === pending ? 'pending' : 'resolved'),
        () => 'rejected',
      ),
    ),
  );
}

test('what is added in one turn is committed together, and nobody is answered before the commit', async () => {
  const { batcher, flushes, last } = setUp();
  const added = [1, 2, 3].map((item) => batcher.add(item));
  assert.equal(flushes.length, 0);
  assert.equal(batcher.size(), 3);
  await settled();
  assert.deepEqual(
    flushes.map(({ items }) => items),
    [[1, 2, 3]],
  );
  assert.deepEqual(await states(added), ['pending', 'pending', 'pending']);
  last().commit();
  assert.deepEqual(await Promise.all(added), [2, 4, 6]);
  await settled();
  assert.equal(batcher.size(), 0);
});

test('while one flush is under way the next one gathers', async () => {
  const { batcher, flushes, last } = setUp();
  const first = batcher.add(1);
  await settled();
  const second = [2, 3].map((item) => batcher.add(item));
  await settled();
  assert.equal(flushes.length, 1);
  last().commit();
  await first;
  await settled();
  assert.deepEqual(last().items, [2, 3]);
  assert.deepEqual(await states(second), ['pending', 'pending']);
  last().commit();
  assert.deepEqual(await Promise.all(second), [4, 6]);
});

test('a flush is bounded in rows', async () => {
  const { batcher, flushes, last } = setUp({ rowsMax: 2 });
  const added = [1, 2, 3, 4, 5].map((item) => batcher.add(item));
  for (let flush = 0; flush < 3; flush++) {
    await settled();
    last().commit();
  }
  assert.deepEqual(await Promise.all(added), [2, 4, 6, 8, 10]);
  assert.deepEqual(
    flushes.map(({ items }) => items),
    [[1, 2], [3, 4], [5]],
  );
});

test('a flush is bounded in bytes; what is larger than the bound goes alone', async () => {
  const { batcher, flushes, last } = setUp({ bytesMax: 10, bytesOf: (item) => item });
  const added = [4, 6, 1, 99, 5].map((item) => batcher.add(item));
  for (let flush = 0; flush < 4; flush++) {
    await settled();
    last().commit();
  }
  await Promise.all(added);
  assert.deepEqual(
    flushes.map(({ items }) => items),
    [[4, 6], [1], [99], [5]],
  );
});

test('a data error fails only the caller whose row is at fault', async () => {
  const flushes: number[][] = [];
  const batcher = createBatcher<number, number>({
    name: 'numbers',
    onLoss: 'fail',
    flush(items) {
      flushes.push([...items]);
      if (items.includes(13)) return Promise.reject(dataError());
      return Promise.resolve(items.map((item) => item * 2));
    },
  });
  const items = [1, 2, 13, 4, 5, 6, 7];
  const results = await Promise.allSettled(items.map((item) => batcher.add(item)));
  for (const [index, result] of results.entries()) {
    if (items[index] === 13) {
      assert.equal(result.status === 'rejected' && result.reason instanceof pg.DatabaseError, true);
    } else assert.deepEqual(result, { status: 'fulfilled', value: (items[index] ?? NaN) * 2 });
  }
  assert.ok(flushes.length <= 1 + 2 * Math.ceil(Math.log2(items.length)));
});

test('whoever is at fault, exactly those fail and every other item is committed exactly once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 20 }),
      async (guilty, rowsMax) => {
        const committed: number[] = [];
        const batcher = createBatcher<number, string>({
          name: 'numbers',
          onLoss: 'fail',
          rowsMax,
          flush(items) {
            assert.ok(items.length <= rowsMax);
            if (items.some((item) => guilty[item])) return Promise.reject(dataError());
            committed.push(...items);
            return Promise.resolve(items.map((item) => `result ${item}`));
          },
        });
        const added = guilty.map((_, item) => batcher.add(item));
        const results = await Promise.allSettled(added);
        for (const [item, isGuilty] of guilty.entries()) {
          const result = results[item];
          assert.equal(result?.status, isGuilty ? 'rejected' : 'fulfilled');
          if (result?.status === 'fulfilled') assert.equal(result.value, `result ${item}`);
        }
        const innocent = [...guilty.keys()].filter((item) => guilty[item] === false);
        assert.deepEqual(
          committed.toSorted((a, b) => a - b),
          innocent,
        );
      },
    ),
  );
});

test('a deadlock or a serialisation failure repeats the flush, and nobody notices', async () => {
  const { batcher, flushes, last } = setUp();
  const added = [1, 2].map((item) => batcher.add(item));
  for (const code of ['40P01', '40001']) {
    await settled();
    last().fail(refusal(code));
  }
  await settled();
  last().commit();
  assert.deepEqual(await Promise.all(added), [2, 4]);
  assert.deepEqual(
    flushes.map(({ items, attempt }) => [items, attempt]),
    [
      [[1, 2], 1],
      [[1, 2], 2],
      [[1, 2], 3],
    ],
  );
});

test('deadlocks without end are given up after a bounded number of flushes', async () => {
  let flushes = 0;
  const batcher = createBatcher<number, number>({
    name: 'numbers',
    onLoss: 'retry',
    flush() {
      flushes += 1;
      return Promise.reject(deadlock());
    },
  });
  const results = await Promise.allSettled([batcher.add(1), batcher.add(2)]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.ok(flushes < 30);
});

test('a full queue refuses with `overloaded` and takes again once there is room', async () => {
  const { batcher, last } = setUp({ queueMax: 2 });
  const first = batcher.add(1);
  await settled();
  const waiting = [2, 3].map((item) => batcher.add(item));
  assert.equal(batcher.size(), 3);
  await assert.rejects(
    batcher.add(4),
    (err) => err instanceof BelfryError && err.code === 'overloaded' && /numbers/.test(err.message),
  );
  last().commit();
  await first;
  await settled();
  const fourth = batcher.add(4);
  last().commit();
  await Promise.all(waiting);
  await settled();
  last().commit();
  assert.equal(await fourth, 8);
});

test('a lost connection fails all callers of the flush where that is asked for, and no others', async () => {
  const { batcher, last } = setUp({ onLoss: 'fail' });
  const first = [1, 2].map((item) => batcher.add(item));
  await settled();
  const next = batcher.add(3);
  last().fail(lost());
  for (const added of first) {
    await assert.rejects(
      added,
      (err) => err instanceof BelfryError && err.code === 'commit_unknown',
    );
  }
  await settled();
  last().commit();
  assert.equal(await next, 6);
});

test('a lost connection is otherwise tried again after a pause until the commit is known', async () => {
  using time = fakeTime();
  const { batcher, flushes, last } = setUp({ onLoss: 'retry', lossPauseMs: 100 });
  const added = batcher.add(1);
  await settled();
  for (let loss = 1; loss <= 20; loss++) {
    last().fail(lost());
    await settled();
    assert.equal(flushes.length, loss);
    await time.advance(99, 99);
    assert.equal(flushes.length, loss);
    await time.advance(1);
    assert.equal(last().attempt, loss + 1);
  }
  last().commit();
  assert.equal(await added, 2);
});

test('a defect is never repeated: its callers are told', async () => {
  const { batcher, flushes, last } = setUp({ onLoss: 'retry' });
  const added = [1, 2].map((item) => batcher.add(item));
  await settled();
  last().fail(new TypeError('a defect'));
  for (const one of added) await assert.rejects(one, TypeError);
  assert.equal(flushes.length, 1);
});

test('drain resolves when all that was added is settled, at once when nothing was', async () => {
  const { batcher, last } = setUp();
  await batcher.drain(new AbortController().signal);
  const added = [batcher.add(1)];
  await settled();
  added.push(batcher.add(2));
  const drained = batcher.drain(new AbortController().signal);
  last().commit();
  await settled();
  assert.deepEqual(await states([drained]), ['pending']);
  last().commit();
  await drained;
  assert.deepEqual(await Promise.all(added), [2, 4]);
});

test('drain ends the retries of a lost flush when its signal aborts', async () => {
  using time = fakeTime();
  const { batcher, last } = setUp({ onLoss: 'retry', lossPauseMs: 100 });
  const added = batcher.add(1);
  added.catch(() => undefined);
  await settled();
  const deadline = new AbortController();
  const drained = batcher.drain(deadline.signal);
  last().fail(lost());
  await time.advance(100, 100);
  last().fail(lost());
  await time.advance(100, 100);
  deadline.abort();
  last().fail(lost());
  await drained;
  await assert.rejects(added, (err) => err instanceof BelfryError && err.code === 'commit_unknown');
});
