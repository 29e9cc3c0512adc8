import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttemptErrorCode, AttemptRecord } from '../../src/core/attempt.ts';
import { healthAfter } from '../../src/core/breaker.ts';

function after(
  errorCode: AttemptErrorCode | null,
  status: number | null = null,
  headers: Record<string, string> | null = null,
) {
  const attempt: AttemptRecord = {
    startedAtMs: Date.parse('2030-01-01T00:00:00Z'),
    latenessMs: 0,
    durationMs: 0,
    status,
    errorCode,
    response: { headers, body: null, bytes: 0 },
  };
  return healthAfter(attempt);
}

test('a receiver that answers is alive, whatever it says of one request', () => {
  assert.equal(after(null, 200).kind, 'alive');
  for (const status of [400, 401, 404, 410, 425]) {
    assert.equal(after('http_status', status).kind, 'alive', String(status));
  }
  assert.equal(after('redirect', 302).kind, 'alive');
});

test('no answer, 408 and 5xx are failures of it', () => {
  for (const status of [408, 500, 502, 504, 599]) {
    assert.equal(after('http_status', status).kind, 'failing', String(status));
  }
  for (const code of ['timeout', 'dns_failed', 'connection_refused', 'tls_expired'] as const) {
    assert.equal(after(code).kind, 'failing', code);
  }
});

test('429 and 503 ask for less, for as long as Retry-After says', () => {
  assert.deepEqual(after('http_status', 429), { kind: 'slowed', askedMs: 0 });
  const asked = (value: string) => after('http_status', 503, { 'retry-after': value });
  assert.deepEqual(asked('7'), { kind: 'slowed', askedMs: 7_000 });
  assert.deepEqual(asked('Tue, 01 Jan 2030 00:01:00 GMT'), { kind: 'slowed', askedMs: 60_000 });
  assert.deepEqual(asked('999999'), { kind: 'slowed', askedMs: 86_400_000 });
  assert.deepEqual(asked('soon'), { kind: 'slowed', askedMs: 0 });
});

test('of what was not sent nothing is known', () => {
  for (const code of ['target_not_allowed', 'secret_missing', 'proxy_failed', 'lost'] as const) {
    assert.equal(after(code).kind, 'unknown', code);
  }
});
