import { instantText } from '../core/instant.ts';
import type { RetryPolicy } from '../core/retryPolicy.ts';
import type { Timer } from '../core/timer.ts';

/** A timer as the API shows it: schemas.ts, TimerBody. */
export function timerBody(timer: Timer) {
  const { request, retry } = timer;
  return {
    id: timer.id,
    time_left: secondsLeft(timer.timeLeftMs),
    status: timer.status,
    url: request.url,
    method: request.method,
    headers: request.headers,
    ...bodyFields(request.body),
    append_id: request.appendId,
    timeout: request.timeoutMs === null ? null : request.timeoutMs / 1_000,
    retry: retry === null ? null : retryBody(retry),
    labels: timer.labels ?? [],
    metadata: timer.metadata,
    due_at: instantText(timer.dueAtMs),
    created_at: instantText(timer.createdAtMs),
    expires_at: instant(timer.expiresAtMs),
    next_attempt_at: instant(timer.nextAtMs),
    finished_at: instant(timer.finishedAtMs),
    failure_code: timer.failureCode,
    attempts: timer.attempts.map((attempt) => ({
      number: attempt.number,
      started_at: instant(attempt.startedAtMs),
      lateness_ms: attempt.latenessMs,
      duration_ms: attempt.durationMs,
      status: attempt.status,
      error_code: attempt.errorCode,
      lost: attempt.errorCode === 'lost',
    })),
  };
}

/** Seconds with fractions, never negative. */
export function secondsLeft(ms: number): number {
  return Math.max(0, Math.round(ms) / 1_000);
}

function instant(ms: number | null): string | null {
  return ms === null ? null : instantText(ms);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** As text where the bytes are text, else in base64; neither when there is no body. */
function bodyFields(body: Buffer | null): { body?: string; body_base64?: string } {
  if (body === null) return {};
  try {
    return { body: utf8.decode(body) };
  } catch {
    return { body_base64: body.toString('base64') };
  }
}

function retryBody(policy: RetryPolicy) {
  return {
    max_attempts: policy.attemptsMax,
    base: policy.baseMs / 1_000,
    factor: policy.factor,
    cap: policy.capMs / 1_000,
    jitter: policy.jitter,
    max_age: policy.ageMaxMs === null ? null : policy.ageMaxMs / 1_000,
  };
}
