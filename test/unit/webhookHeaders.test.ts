import assert from 'node:assert/strict';
import { test } from 'node:test';
import { version } from '../../src/core/version.ts';
import { webhookHeaders } from '../../src/delivery/webhookHeaders.ts';

const given = { webhookId: 'abc_7', timestampMs: 1_900_000_000_999.75, attempt: 2 };

test('an attempt says which timer it is of, when it is made in whole seconds, and its number', () => {
  assert.deepEqual(webhookHeaders({ ...given, own: null }), [
    'webhook-id',
    'abc_7',
    'webhook-timestamp',
    '1900000000',
    'belfry-attempt',
    '2',
    'user-agent',
    `Belfry/${version}`,
  ]);
});

test("a timer's own headers are sent as they are, lists as several", () => {
  const headers = webhookHeaders({ ...given, own: { 'X-One': 'a', 'x-two': ['b', 'c'] } });
  assert.deepEqual(headers.slice(6), [
    'X-One',
    'a',
    'x-two',
    'b',
    'x-two',
    'c',
    'user-agent',
    `Belfry/${version}`,
  ]);
});

test("a timer's own user agent takes the place of ours, however it is written", () => {
  for (const name of ['user-agent', 'User-Agent', 'USER-AGENT']) {
    const headers = webhookHeaders({ ...given, own: { [name]: 'mine' } });
    assert.deepEqual(headers.slice(6), [name, 'mine']);
  }
});
