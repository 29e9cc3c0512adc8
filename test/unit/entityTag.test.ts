import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entityTag, parseIfMatch } from '../../src/core/entityTag.ts';

test('only what was given as an ETag names a version: tags are compared as they are written', () => {
  assert.equal(parseIfMatch(entityTag(12)), 12);
  assert.equal(parseIfMatch('*'), null);
  assert.equal(parseIfMatch(undefined), null);
  for (const other of ['"01"', '"0"', '1', 'W/"1"', '"1", "2"', '""', '"1e0"']) {
    assert.throws(() => parseIfMatch(other), { code: 'validation_failed' }, other);
  }
});
