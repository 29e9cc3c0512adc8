import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeAttempt, statusAfter, type AttemptRecord } from '../../src/core/attempt.ts';
import type { RetryPolicy } from '../../src/core/retryPolicy.ts';

const policy: RetryPolicy = {
  attemptsMax: 5,
  baseMs: 5_000,
  factor: 4,
  capMs: 21_600_000,
  jitter: 0,
  ageMaxMs: null,
};

function judge(
  attempt: Partial<AttemptRecord>,
  failures = 1,
  over: Partial<RetryPolicy> = {},
  ageMs = 0,
) {
  return judgeAttempt({
    attempt: {
      startedAtMs: 0,
      latenessMs: 0,
      durationMs: 0,
      status: null,
      errorCode: null,
      ...attempt,
    },
    failures,
    ageMs,
    policy: { ...policy, ...over },
    random: () => 0.5,
  });
}

test('an attempt without an error code succeeds, even as the last one', () => {
  assert.deepEqual(judge({ status: 200 }), { kind: 'succeeded' });
  assert.deepEqual(judge({ status: 204 }, 99), { kind: 'succeeded' });
});

test('410 ends a timer at once, whatever attempts are left', () => {
  const verdict = judge({ status: 410, errorCode: 'http_status' });
  assert.deepEqual(verdict, { kind: 'failed', code: 'gone' });
});

test('every other status and every transport error is tried again by the policy', () => {
  for (const status of [301, 307, 400, 401, 404, 408, 429, 500, 503]) {
    const verdict = judge({ status, errorCode: 'http_status' });
    assert.deepEqual(verdict, { kind: 'retry', delayMs: 5_000 }, String(status));
  }
  for (const errorCode of ['timeout', 'dns_failed', 'connection_refused', 'lost'] as const) {
    assert.deepEqual(judge({ errorCode }, 2), { kind: 'retry', delayMs: 20_000 });
  }
});

const answered = (status: number, headers: Readonly<Record<string, string>>) => ({
  status,
  errorCode: 'http_status' as const,
  durationMs: 2_000,
  response: { headers, body: null, bytes: 0 },
});

test('belfry-retry: no ends a timer, whatever attempts are left; of a success it says nothing', () => {
  for (const said of ['no', 'No', ' NO ']) {
    const verdict = judge(answered(503, { 'belfry-retry': said }));
    assert.deepEqual(verdict, { kind: 'failed', code: 'declined' });
  }
  for (const said of ['', 'yes', 'no, thanks']) {
    assert.equal(judge(answered(503, { 'belfry-retry': said })).kind, 'retry');
  }
  const done = { ...answered(200, { 'belfry-retry': 'no' }), errorCode: null };
  assert.equal(judge(done).kind, 'succeeded');
});

test('no attempt comes before Retry-After, nor sooner than the policy has it', () => {
  const after = (text: string, over: Partial<RetryPolicy> = {}) =>
    judge(answered(429, { 'retry-after': text }), 1, over);
  assert.deepEqual(after('60'), { kind: 'retry', delayMs: 60_000 });
  assert.deepEqual(after('1'), { kind: 'retry', delayMs: 5_000 });
  assert.deepEqual(after('soon'), { kind: 'retry', delayMs: 5_000 });
  assert.deepEqual(after('9'.repeat(400)), { kind: 'retry', delayMs: 86_400_000 });
  // By the clock at the end of the attempt.
  assert.deepEqual(after('Thu, 01 Jan 1970 00:00:32 GMT'), { kind: 'retry', delayMs: 30_000 });
  assert.deepEqual(after('60', { ageMaxMs: 59_000 }), { kind: 'failed', code: 'too_old' });
});

test('retry.on: other statuses end the timer, what got no response is always tried again', () => {
  const on = [429, '5xx'] as const;
  for (const status of [429, 500, 599]) {
    assert.equal(judge({ status, errorCode: 'http_status' }, 1, { on }).kind, 'retry');
  }
  for (const status of [302, 400, 428]) {
    const verdict = judge({ status, errorCode: 'http_status' }, 1, { on });
    assert.deepEqual(verdict, { kind: 'failed', code: 'status_not_retried' });
  }
  assert.equal(judge({ errorCode: 'timeout' }, 1, { on: [] }).kind, 'retry');
  const none = judge({ status: 503, errorCode: 'http_status' }, 1, { on: [] });
  assert.deepEqual(none, { kind: 'failed', code: 'status_not_retried' });
});

test('the last attempt of the policy ends the timer', () => {
  assert.equal(judge({ errorCode: 'timeout' }, 4).kind, 'retry');
  const exhausted = { kind: 'failed', code: 'attempts_exhausted' };
  assert.deepEqual(judge({ errorCode: 'timeout' }, 5), exhausted);
  assert.deepEqual(judge({ errorCode: 'timeout' }, 6), exhausted);
  assert.deepEqual(judge({ errorCode: 'timeout' }, 1, { attemptsMax: 1 }), exhausted);
});

test('the defaults wait 5 s, 20 s, 80 s and 320 s', () => {
  const waits = [1, 2, 3, 4].map((failures) => judge({ errorCode: 'timeout' }, failures));
  assert.deepEqual(
    waits,
    [5_000, 20_000, 80_000, 320_000].map((delayMs) => ({ kind: 'retry', delayMs })),
  );
});

test('a verdict tells the status of the timer', () => {
  assert.equal(statusAfter({ kind: 'succeeded' }), 'succeeded');
  assert.equal(statusAfter({ kind: 'failed', code: 'gone' }), 'failed');
  assert.equal(statusAfter({ kind: 'retry', delayMs: 1 }), 'retrying');
});

test('no attempt is made later than the policy allows after the timer was due', () => {
  const failed = { status: 500, errorCode: 'http_status' } as const;
  const over = { ageMaxMs: 60_000 };
  assert.deepEqual(judge(failed, 1, over, 55_000), { kind: 'retry', delayMs: 5_000 });
  assert.deepEqual(judge(failed, 1, over, 55_001), { kind: 'failed', code: 'too_old' });
  assert.deepEqual(judge(failed, 1, { ageMaxMs: 0 }), { kind: 'failed', code: 'too_old' });
});
