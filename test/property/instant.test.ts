import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { instantText } from '../../src/core/instant.ts';

test('an instant is written as toISOString writes it, whatever was written before', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.integer({ min: -8_640_000_000_000_000, max: 8_640_000_000_000_000 }),
          fc.double({ min: 0, max: 4e12, noNaN: true }),
          fc.integer({ min: -3, max: 3 }).map((ms) => 1_764_086_400_000 + ms),
        ),
        { minLength: 1, maxLength: 5 },
      ),
      (instants) => {
        assert.deepEqual(
          instants.map(instantText),
          instants.map((ms) => new Date(ms).toISOString()),
        );
      },
    ),
  );
});

test('what is no instant is a RangeError', () => {
  assert.throws(() => instantText(Number.NaN), RangeError);
  assert.throws(() => instantText(8_640_000_000_000_001 + 86_400_000), RangeError);
});
