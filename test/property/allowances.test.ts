import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { createAllowances, type BlockStore } from '../../src/limits/allowances.ts';
import { createAllowanceStore } from '../../src/store/allowances.ts';
import { createTestDatabase, sql } from '../support/database.ts';

const db = await createTestDatabase();
after(() => db[Symbol.asyncDispose]());
const store = createAllowanceStore(db.database);

/** A bucket as the database keeps it, on a clock of the test's. */
function bucketOn(clock: { nowMs: number }): BlockStore {
  const buckets = new Map<string, { level: number; atMs: number }>();
  return {
    take(wishes) {
      const taken = wishes.map(({ subject, perSecond, burst, wanted }) => {
        const { level, atMs } = buckets.get(subject) ?? { level: burst, atMs: clock.nowMs };
        const filled = Math.min(burst, level + ((clock.nowMs - atMs) * perSecond) / 1_000);
        const granted = Math.min(wanted, Math.floor(filled));
        buckets.set(subject, { level: filled - granted, atMs: clock.nowMs });
        return [subject, { granted, level: filled - granted }] as const;
      });
      return Promise.resolve(new Map(taken));
    },
  };
}

test('processes together never let through more than rate × time + burst, in any stretch of time', async () => {
  const step = fc.record({
    waitMs: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 3_000 })),
    process: fc.integer({ min: 0, max: 2 }),
    requests: fc.integer({ min: 1, max: 30 }),
  });
  const terms = fc
    .record({ perSecond: fc.integer({ min: 1, max: 100 }), more: fc.integer({ min: 0, max: 50 }) })
    .map(({ perSecond, more }) => ({ perSecond, burst: Math.ceil(perSecond / 2) + more }));
  await fc.assert(
    fc.asyncProperty(
      terms,
      fc.array(step, { minLength: 1, maxLength: 60 }),
      async (given, steps) => {
        const allowance = { subject: 'a', ...given };
        const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
        const bucket = bucketOn(clock);
        const processes = [0, 1, 2].map(() => createAllowances({ store: bucket, clock }));
        const passed: number[] = [];
        for (const { waitMs, process, requests } of steps) {
          clock.nowMs += waitMs;
          const answers = Array.from({ length: requests }, async () =>
            processes[process]?.take([allowance]),
          );
          for (const answer of await Promise.all(answers)) {
            if (answer === true) passed.push(clock.nowMs);
          }
        }
        const { perSecond, burst } = given;
        // Blocks of the three that were taken before the stretch, of a quarter of a second each at most,
        // and what had been asked for in advance.
        const inHand = 3 * 2 * Math.ceil(perSecond / 4);
        for (const [first, fromMs] of passed.entries()) {
          for (let last = first; last < passed.length; last++) {
            const allowed = (((passed[last] ?? 0) - fromMs) * perSecond) / 1_000 + burst + inHand;
            assert.ok(last - first + 1 <= allowed + 1e-6, `${last - first + 1} of ${allowed}`);
          }
        }
        const inAll = ((passed.at(-1) ?? 0) * perSecond) / 1_000 + burst;
        assert.ok(passed.length <= inAll + 1e-6, `${passed.length} of ${inAll} in all`);
      },
    ),
    { numRuns: 200 },
  );
});

test('one caller alone gets all that the rate allows', async () => {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const allowances = createAllowances({ store: bucketOn(clock), clock });
  const allowance = { subject: 'a', perSecond: 40, burst: 20 };
  let passed = 0;
  for (; clock.nowMs < 60_000; clock.nowMs += 5) {
    if (await allowances.take([allowance])) passed += 1;
  }
  assert.ok(passed > 0.95 * (60 * 40) && passed <= 60 * 40 + 20, `${passed}`);
});

test('a refusal by one rate takes nothing of the other', async () => {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const allowances = createAllowances({ store: bucketOn(clock), clock });
  const wide = { subject: 'wide', perSecond: 10, burst: 10 };
  const narrow = { subject: 'narrow', perSecond: 1, burst: 2 };
  const answers = [];
  for (let time = 0; time < 8; time++) answers.push(await allowances.take([wide, narrow]));
  assert.deepEqual(answers.slice(0, 3), [true, true, false]);
  assert.equal(allowances.remaining(wide).count, 8);
  assert.deepEqual(allowances.remaining(narrow).count, 0);
  const wait = allowances.remaining(narrow).nextInMs;
  assert.ok(wait > 0 && wait <= 1_000, `${wait}`);
  clock.nowMs += 1_000;
  assert.equal(await allowances.take([wide, narrow]), true);
});

test('a changed rate holds at once, also for who is waiting', async () => {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const allowances = createAllowances({ store: bucketOn(clock), clock });
  const slow = { subject: 'a', perSecond: 0.01, burst: 1 };
  assert.equal(await allowances.take([slow]), true);
  assert.equal(await allowances.take([slow]), false);
  clock.nowMs += 1_000;
  const fast = { subject: 'a', perSecond: 100, burst: 100 };
  assert.equal(await allowances.take([fast]), true);
});

test('without the database each process goes on by the rate alone', async () => {
  const clock = { nowMs: 0, monotonicMs: () => clock.nowMs };
  const failures: unknown[] = [];
  const allowances = createAllowances({
    store: { take: () => Promise.reject(new Error('gone')) },
    clock,
    onFailure: (err) => failures.push(err),
  });
  const allowance = { subject: 'a', perSecond: 40, burst: 20 };
  let passed = 0;
  for (; clock.nowMs < 10_000; clock.nowMs += 5) {
    if (await allowances.take([allowance])) passed += 1;
  }
  assert.ok(passed > 300 && passed <= 410, `${passed}`);
  assert.ok(failures.length > 0 && failures.length <= 41, `${failures.length}`);
});

test('blocks that many take at once from a bucket of the database are never more than it had', async () => {
  const taker = (n: number) => async () => {
    let granted = 0;
    for (let time = 0; time < 40; time++) {
      const wishes = ['a', 'b'].map((subject) => ({
        subject,
        perSecond: 50,
        burst: 30,
        wanted: 7,
      }));
      const blocks = await store.take(n % 2 === 0 ? wishes : wishes.toReversed());
      granted += blocks.get('a')?.granted ?? NaN;
    }
    return granted;
  };
  const startMs = performance.now();
  const granted = await Promise.all(Array.from({ length: 6 }, (_, n) => taker(n)()));
  const seconds = (performance.now() - startMs) / 1_000;
  const sum = granted.reduce((a, b) => a + b, 0);
  assert.ok(sum >= 30 && sum <= 30 + 50 * seconds + 1e-6, `${sum} in ${seconds} s`);
});

test('a bucket that is full again is forgotten', async () => {
  await store.take([
    { subject: 'old', perSecond: 1, burst: 10, wanted: 1 },
    { subject: 'slow', perSecond: 0.001, burst: 10, wanted: 1 },
  ]);
  await sql(
    db.database,
    `UPDATE belfry.allowances SET filled_at = filled_at - interval '10 minutes' WHERE subject IN ('old', 'slow')`,
  );
  await store.forget();
  const rows = await sql<[string]>(db.database, 'SELECT subject FROM belfry.allowances ORDER BY 1');
  assert.deepEqual(rows.flat(), ['a', 'b', 'slow']);
});
