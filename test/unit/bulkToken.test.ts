import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBulkFilter, type BulkWish } from '../../src/core/bulkChange.ts';
import { createBulkTokens, tokenTtlMs, type BulkState } from '../../src/core/bulkToken.ts';
import { BelfryError } from '../../src/core/errors.ts';

let nowMs = 1_000_000;
const tokens = createBulkTokens({ secret: 's', nowMs: () => nowMs });
const wish: BulkWish = {
  projectId: 1,
  action: 'cancel',
  filter: parseBulkFilter('cancel', { label: 'a' }),
};
const state: BulkState = {
  createdBeforeMs: 5,
  place: { beforeId: 9, fromId: 2 },
  totals: { changed: 1, skipped: 2, failed: 3, examined: 7 },
};

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (err) {
    assert.ok(err instanceof BelfryError && err.code === 'validation_failed');
    return `${err.fields[0]?.field} ${err.fields[0]?.message}`;
  }
  return 'none';
}

test('a token says how far its change has come, for ten minutes', () => {
  const token = tokens.write(state, wish);
  assert.deepEqual(tokens.read(token, wish), state);
  nowMs += tokenTtlMs;
  assert.deepEqual(tokens.read(token, wish), state);
  nowMs += 1;
  assert.match(
    refusal(() => tokens.read(token, wish)),
    /^token is older than 10 minutes/,
  );
});

test('a token of another change is refused, and one that nobody has signed', () => {
  const token = tokens.write(state, wish);
  const others: BulkWish[] = [
    { ...wish, projectId: 2 },
    { ...wish, action: 'retry' },
    { ...wish, filter: parseBulkFilter('cancel', { label: 'b' }) },
    { ...wish, filter: parseBulkFilter('cancel', { label: 'a', status: 'pending' }) },
  ];
  for (const other of others)
    assert.match(
      refusal(() => tokens.read(token, other)),
      /^token must/,
    );

  const [content = '', signature = ''] = token.split('.');
  const richer = Buffer.from(content, 'base64url').toString().replace('"changed":1', '"changed":0');
  const foreign = createBulkTokens({ secret: 't', nowMs: () => nowMs });
  for (const bad of [
    undefined,
    null,
    7,
    '',
    '.',
    content,
    `${content}.`,
    `.${signature}`,
    `${content}.${signature.slice(1)}`,
    `${Buffer.from(richer).toString('base64url')}.${signature}`,
    foreign.write(state, wish),
  ]) {
    assert.match(
      refusal(() => tokens.read(bad, wish)),
      /^token must/,
      String(bad),
    );
  }
});

test('a filter says which timers are meant, of statuses that the change is for', () => {
  assert.deepEqual(parseBulkFilter('cancel', { label: 'a' }).statuses, [
    'pending',
    'delivering',
    'retrying',
  ]);
  assert.deepEqual(parseBulkFilter('retry', { key: 'a' }).statuses, ['failed', 'cancelled']);
  assert.deepEqual(parseBulkFilter('retry', { status: 'failed' }).statuses, ['failed']);
  const wrong: readonly [unknown, RegExp][] = [
    [undefined, /^filter must be an object/],
    [null, /^filter must be an object/],
    [[], /^filter must be an object/],
    ['label', /^filter must be an object/],
    [{}, /^filter must not be empty/],
    [{ colour: 'red' }, /^filter\.colour is not a field/],
    [JSON.parse('{"__proto__": "a"}'), /^filter\.__proto__ is not a field/],
    [{ label: '' }, /^filter\.label must be one label/],
    [{ label: null }, /^filter\.label must be one label/],
    [{ due_after: 'soon' }, /^filter\.due_after must be/],
    [{ status: ['pending', 'succeeded'] }, /^filter\.status must be of pending, delivering/],
    [{ status: 'finished' }, /^filter\.status must be of pending, delivering/],
    [{ status: [] }, /^filter\.status must be of/],
  ];
  for (const [filter, expected] of wrong) {
    assert.match(
      refusal(() => parseBulkFilter('cancel', filter)),
      expected,
    );
  }
  assert.match(
    refusal(() => parseBulkFilter('retry', { status: 'live' })),
    /^filter\.status must be of failed, cancelled for a retry/,
  );
});
