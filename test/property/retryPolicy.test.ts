import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { retryDelayMs, type RetryPolicy } from '../../src/core/retryPolicy.ts';

const policies = fc.record({
  attemptsMax: fc.integer({ min: 1, max: 100 }),
  baseMs: fc.double({ min: 1, max: 86_400_000, noNaN: true }),
  factor: fc.double({ min: 1, max: 100, noNaN: true }),
  capMs: fc.double({ min: 1, max: 31_536_000_000, noNaN: true }),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  ageMaxMs: fc.constant(null),
});
const failures = fc.integer({ min: 1, max: 100 });
// As Math.random: 1 is not among them.
const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

const unspread = (policy: RetryPolicy, n: number) =>
  Math.min(policy.baseMs * policy.factor ** (n - 1), policy.capMs);

test('a retry never comes before (1 − jitter) of its wait, nor after (1 + jitter) of the cap', () => {
  fc.assert(
    fc.property(policies, failures, randoms, (policy, n, random) => {
      const delayMs = retryDelayMs(policy, n, () => random);
      assert.ok(Number.isSafeInteger(delayMs), `${delayMs} is not a whole number`);
      // A relative 1e-12 for the rounding of the floats on both sides.
      const least = (1 - policy.jitter) * unspread(policy, n);
      assert.ok(delayMs >= least * (1 - 1e-12), `${delayMs} < ${least}`);
      assert.ok(delayMs <= Math.ceil((1 + policy.jitter) * policy.capMs));
      assert.ok(delayMs <= Math.ceil((1 + policy.jitter) * unspread(policy, n) * (1 + 1e-12)));
      assert.ok(delayMs >= 0);
    }),
  );
});

test('without jitter the waits never grow shorter', () => {
  fc.assert(
    fc.property(policies, failures, randoms, (policy, n, random) => {
      const plain = { ...policy, jitter: 0 };
      const first = retryDelayMs(plain, n, () => random);
      assert.ok(retryDelayMs(plain, n + 1, () => random) >= first);
    }),
  );
});

test('jitter moves a wait both ways', () => {
  fc.assert(
    fc.property(policies, failures, (policy, n) => {
      fc.pre(policy.jitter > 0.01 && policy.baseMs >= 1_000 && policy.capMs >= 1_000);
      const plain = retryDelayMs({ ...policy, jitter: 0 }, n, () => 0);
      assert.ok(retryDelayMs(policy, n, () => 0) < plain);
      assert.ok(retryDelayMs(policy, n, () => 0.999) > plain);
    }),
  );
});
