import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createAdmissions } from '../../src/scheduler/admissions.ts';
import type { Admission } from '../../src/scheduler/holdings.ts';
import { testBook } from '../unit/fakes/destinationBook.ts';

const origin = 'https://a.example';
const timer = {
  projectId: 1,
  expiresAtMs: null,
  request: {
    url: `${origin}/x`,
    method: 'POST',
    headers: null,
    body: null,
    timeoutMs: null,
    appendId: true,
  },
} as const;
const place = { projectId: 1, origin };

/** A process that is one of those who live, and a bucket of whole tokens. */
function admissionsOf(options: { owner: number; living: readonly number[]; tokens?: number }) {
  const book = testBook();
  const bucket = { left: options.tokens ?? Infinity };
  const freed: unknown[] = [];
  let atMs = 0;
  const admissions = createAdmissions({
    book,
    take: () => (bucket.left >= 1 ? ((bucket.left -= 1), true) : false),
    living: () => Promise.resolve(options.living),
    owner: () => options.owner,
    nowMs: () => atMs,
    monotonicMs: () => atMs,
    onFreed: (destination) => void freed.push(destination),
  });
  return { admissions, book, bucket, freed, pass: (ms: number) => (atMs += ms) };
}

test('the shares of all processes are the concurrency, and differ by one at most', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.integer({ min: 1, max: 1e6 }), { minLength: 1, maxLength: 9 }),
      fc.integer({ min: 1, max: 40 }),
      async (owners, concurrencyMax) => {
        const living = owners.toSorted((a, b) => a - b);
        const shares: number[] = [];
        for (const owner of living) {
          const { admissions, book, pass } = admissionsOf({ owner, living });
          book.set(origin, { concurrencyMax });
          await admissions.refresh();
          pass(2_000);
          shares.push((await admissions.reserve(place, 100)).length);
        }
        assert.equal(
          shares.reduce((sum, share) => sum + share, 0),
          concurrencyMax,
        );
        assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, shares.join());
      },
    ),
    { numRuns: 200 },
  );
});

test('a process that is none of those who live, or does not know who does, admits nothing', async () => {
  const { admissions, book } = admissionsOf({ owner: 3, living: [1, 2] });
  book.set(origin, { concurrencyMax: 10 });
  assert.equal(await admissions.admit(timer), undefined);
  await admissions.refresh();
  assert.equal(await admissions.admit(timer), undefined);
  assert.equal((await admissions.reserve(place, 5)).length, 0);
});

test('a process that comes to others admits nothing before they can have seen it; one alone does', async () => {
  const { admissions, book, pass } = admissionsOf({ owner: 2, living: [1, 2] });
  book.set(origin, { concurrencyMax: 4 });
  await admissions.refresh();
  pass(1_999);
  await admissions.refresh();
  assert.equal(await admissions.admit(timer), undefined);
  pass(1);
  assert.equal((await admissions.reserve(place, 5)).length, 2);
  const alone = admissionsOf({ owner: 2, living: [2] });
  alone.book.set(origin, { concurrencyMax: 4 });
  await alone.admissions.refresh();
  assert.equal((await alone.admissions.reserve(place, 5)).length, 4);
});

test('whatever comes and goes, no more than the share is under way, and all of it comes back', async () => {
  const steps = fc.array(
    fc.oneof(
      fc.constant('admit' as const),
      fc.record({ reserve: fc.nat({ max: 6 }), used: fc.nat({ max: 6 }) }),
      fc.record({ end: fc.nat() }),
    ),
    { maxLength: 80 },
  );
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 5 }), async (operations, concurrencyMax) => {
      const { admissions, book } = admissionsOf({ owner: 1, living: [1] });
      book.set(origin, { concurrencyMax });
      await admissions.refresh();
      let active: Admission[] = [];
      for (const operation of operations) {
        if (operation === 'admit') {
          const admission = await admissions.admit(timer);
          assert.equal(admission === undefined, active.length === concurrencyMax);
          if (admission !== undefined) active.push(admission);
        } else if ('reserve' in operation) {
          const reserved = await admissions.reserve(place, operation.reserve);
          const free = concurrencyMax - active.length;
          assert.equal(reserved.length, Math.min(free, operation.reserve));
          active.push(...reserved.slice(0, operation.used));
          admissions.giveBack(place, reserved.slice(operation.used));
        } else {
          const ended = active[operation.end % active.length];
          // Told twice, as by who removes what has ended.
          ended?.end();
          ended?.end();
          active = active.filter((other) => other !== ended);
        }
      }
      for (const admission of active) admission.end();
      assert.equal((await admissions.reserve(place, 100)).length, concurrencyMax);
    }),
    { numRuns: 200 },
  );
});

test('tokens for which nobody was found are used by the next, for half a second', async () => {
  const { admissions, book, bucket, freed, pass } = admissionsOf({
    owner: 1,
    living: [1],
    tokens: 5,
  });
  book.set(origin, { ratePerSecond: 10 });
  const reserved = await admissions.reserve(place, 9);
  assert.equal(reserved.length, 5, 'one for each token');
  admissions.giveBack(place, reserved.slice(2));
  assert.equal(freed.length, 0, 'nobody is to look for what nobody was found for');
  assert.ok(await admissions.admit(timer));
  assert.ok(await admissions.admit(timer));
  pass(499);
  assert.ok(await admissions.admit(timer));
  assert.equal(await admissions.admit(timer), undefined, 'all five are used');
  bucket.left = 2;
  admissions.giveBack(place, await admissions.reserve(place, 2));
  pass(500);
  assert.equal(await admissions.admit(timer), undefined, 'they have ended');
});

test('a permit that comes free is told; a rate that is changed begins anew', async () => {
  const { admissions, book, bucket, freed } = admissionsOf({ owner: 1, living: [1], tokens: 1 });
  book.set(origin, { ratePerSecond: 10 });
  const admission = await admissions.admit(timer);
  assert.equal(await admissions.admit(timer), undefined);
  admission?.end();
  assert.deepEqual(freed, [place]);
  bucket.left = 3;
  admissions.giveBack(place, await admissions.reserve(place, 3));
  book.set(origin, { ratePerSecond: 20 });
  assert.equal(await admissions.admit(timer), undefined, 'what was taken by the old rate is void');
  book.set(origin, {});
  assert.ok(await admissions.admit(timer));
});

test('a rate that cannot be asked for keeps timers waiting', async () => {
  const book = testBook();
  book.set(origin, { ratePerSecond: 10, concurrencyMax: 2 });
  const admissions = createAdmissions({
    book,
    take: () => Promise.reject(new Error('no database')),
    living: () => Promise.resolve([1]),
    owner: () => 1,
    nowMs: () => 0,
    monotonicMs: () => 0,
    onFreed: () => undefined,
  });
  await admissions.refresh();
  for (let round = 0; round < 5; round++) {
    assert.equal(await admissions.admit(timer), undefined);
  }
  // Its permits have come back each time.
  book.set(origin, { concurrencyMax: 2 });
  assert.equal((await admissions.reserve(place, 5)).length, 2);
});
