import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shows } from '../support/guidePage.ts';

test('an output is what a page shows, up to blanks and what … stands for', () => {
  assert.ok(shows('{"id": …, "status": "failed", …}', '{"id":1,"status":"failed","a":2}'));
  assert.ok(
    shows('HTTP/1.1 200 OK\n…\n{"a":1}\n{"b":…}', 'HTTP/1.1 200 OK\r\nx: y\r\n\r\n{"a":1}{"b":2}'),
  );
  assert.ok(shows('a\n…\nb', 'a\nb'));
});

test('it is not when anything else is missing, added or different', () => {
  for (const [page, output] of [
    ['{"status":"failed",…}', '{"status":"pending","a":2}'],
    ['{"status":"failed"}', '{"status":"failed","a":2}'],
    ['{"status":"failed",…}', ' before {"status":"failed","a":2}'],
    ['{"a":…}', '{"a":1}\n{"a":2}'],
    ['{"a":…}\n{"a":…}', '{"a":1}'],
    ['a.c', 'abc'],
    ['a', ''],
  ] as const) {
    assert.ok(!shows(page, output), `${page} is not ${output}`);
  }
});
