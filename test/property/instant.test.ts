import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { instantMaxMs, instantText } from '../../src/core/instant.ts';

test('an instant is written as toISOString writes it, whatever was written before', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.integer({ min: Date.parse('0000-01-01'), max: instantMaxMs }),
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

test('what lies outside the years of RFC 3339 is told as their end, and what is no number throws', () => {
  const [first, last] = ['0000-01-01T00:00:00.000Z', '9999-12-31T23:59:59.999Z'];
  for (const ms of [Date.parse(first) - 1, -8.64e15, -Infinity])
    assert.equal(instantText(ms), first);
  for (const ms of [instantMaxMs + 1, 8.64e15 + 86_400_000, Infinity]) {
    assert.equal(instantText(ms), last);
  }
  assert.throws(() => instantText(Number.NaN), RangeError);
});
