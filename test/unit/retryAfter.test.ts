import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retryAfterMaxMs, retryAfterMs } from '../../src/core/retryAfter.ts';

const nowMs = Date.parse('1994-11-06T08:49:07.250Z');

test('seconds and the three forms of a date (RFC 9110) are taken, up to 24 h', () => {
  const cases: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['86400', retryAfterMaxMs],
    ['86401', retryAfterMaxMs],
    ['9'.repeat(1_000), retryAfterMaxMs],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 29_750],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 29_750],
    ['Sun Nov  6 08:49:37 1994', 29_750],
    ['Sun, 06 Nov 1994 08:49:07 GMT', 0],
    ['Fri, 31 Dec 1999 23:59:59 GMT', retryAfterMaxMs],
    ['Sunday, 06-Nov-44 08:49:37 GMT', retryAfterMaxMs],
    ['Sunday, 06-Nov-45 08:49:37 GMT', 0],
  ];
  for (const [text, expected] of cases) assert.equal(retryAfterMs(text, nowMs), expected, text);
});

test('anything else says nothing', () => {
  const junk = [
    '',
    '-1',
    '+1',
    '1.5',
    '1e3',
    '0x10',
    'soon',
    '1, 2',
    'NaN',
    '2030-01-01T00:00:00Z',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 CET',
    'Sun, 31 Feb 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 25:49:37 GMT',
    'Sun, 06 Foo 1994 08:49:37 GMT',
  ];
  for (const text of junk) assert.equal(retryAfterMs(text, nowMs), undefined, text);
});
