import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createTokenBucket } from '../../src/scheduler/tokenBucket.ts';

test('a bucket never gives more than its rate, plus the burst it starts with', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 10_000, noNaN: true }),
      fc.array(
        fc.record({
          pauseMs: fc.double({ min: 0, max: 5_000, noNaN: true }),
          wanted: fc.nat({ max: 5_000 }),
        }),
      ),
      (perSecond, steps) => {
        let monotonicMs = 0;
        const clock = { monotonicMs: () => monotonicMs, wallMs: () => 0 };
        const bucket = createTokenBucket({ perSecond, clock });
        let taken = 0;
        for (const { pauseMs, wanted } of steps) {
          monotonicMs += pauseMs;
          const available = bucket.available();
          assert.ok(Number.isInteger(available) && available >= 0);
          const count = Math.min(wanted, available);
          bucket.take(count);
          taken += count;
          const burst = Math.max(1, perSecond / 4);
          assert.ok(taken <= burst + (monotonicMs / 1_000) * perSecond + 1e-6);
        }
      },
    ),
  );
});

test('an idle bucket fills up to a quarter of a second, and even a slow one gives one at last', () => {
  let monotonicMs = 0;
  const clock = { monotonicMs: () => monotonicMs, wallMs: () => 0 };
  const quick = createTokenBucket({ perSecond: 100, clock });
  const slow = createTokenBucket({ perSecond: 0.1, clock });
  quick.take(quick.available());
  slow.take(slow.available());
  monotonicMs += 9_999;
  assert.equal(quick.available(), 25);
  assert.equal(slow.available(), 0);
  monotonicMs += 2;
  assert.equal(slow.available(), 1);
});
