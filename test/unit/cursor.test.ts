import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cursorText, parseCursor, type ListPosition } from '../../src/core/cursor.ts';
import { BelfryError } from '../../src/core/errors.ts';

const print = 'abcdefghijklmnopqrstuv';

function refused(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch (err) {
    assert.ok(err instanceof BelfryError);
    assert.equal(err.code, 'validation_failed');
    assert.equal(err.fields[0]?.field, 'cursor');
    return true;
  }
}

const position: fc.Arbitrary<ListPosition> = fc.oneof(
  fc
    .tuple(fc.maxSafeNat(), fc.maxSafeNat())
    .map(([beforeId, fromId]) => ({ order: 'newest' as const, beforeId, fromId })),
  fc
    .tuple(fc.maxSafeNat(), fc.maxSafeNat())
    .map(([ms, id]) => ({ order: 'soonest' as const, nextAtMs: ms % 253_402_300_800_000, id })),
);

test('a cursor says where it was made', () => {
  fc.assert(
    fc.property(position, (given) => {
      assert.deepEqual(parseCursor(cursorText(given, print), given.order, print), given);
    }),
  );
});

test('a cursor of another filter or another order is refused', () => {
  const newest = cursorText({ order: 'newest', beforeId: 7, fromId: 0 }, print);
  assert.ok(refused(() => parseCursor(newest, 'newest', print.toUpperCase())));
  assert.ok(refused(() => parseCursor(newest, 'soonest', print)));
});

test('whatever is no cursor is refused', () => {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const good = [1, 'soonest', print, 5, 7];
  assert.ok(!refused(() => parseCursor(encode(good), 'soonest', print)));
  const bad = [
    [2, 'soonest', print, 5, 7],
    [1, 'soonest', print, 5],
    [1, 'soonest', print, 5, 7, 8],
    [1, 'soonest', print, -5, 7],
    [1, 'soonest', print, 5.5, 7],
    [1, 'soonest', print, '5', 7],
    [1, 'soonest', print, 5, null],
    [1, 'soonest', print, 2 ** 53, 7],
    [1, 'soonest', print, 253_402_300_800_000, 7],
    [1, 'soonest', null, 5, 7],
    Object.fromEntries(good.entries()),
    null,
    'x',
  ].map(encode);
  const text = encode(good);
  for (const cursor of [
    ...bad,
    '',
    text.slice(1),
    `${text}=`,
    `${text} `,
    ` ${text}`,
    text + text,
  ]) {
    assert.ok(
      refused(() => parseCursor(cursor, 'soonest', print)),
      cursor,
    );
  }
  assert.ok(refused(() => parseCursor([text, text], 'soonest', print)));
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.base64String(), fc.jsonValue()),
      (value) => assert.ok(refused(() => parseCursor(value, 'newest', print))),
    ),
  );
});
