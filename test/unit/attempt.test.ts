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
