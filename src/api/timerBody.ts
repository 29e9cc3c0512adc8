import type { ResponseSample } from '../core/attempt.ts';
import { bodyText } from '../core/bodyText.ts';
import { instantMaxMs, instantText } from '../core/instant.ts';
import type { RetryPolicy } from '../core/retryPolicy.ts';
import type { TimerId } from '../core/ids.ts';
import { shownHeaders } from '../core/secretHeaders.ts';
import type {
  Attempt,
  AttemptWithResponse,
  NewTimer,
  Timer,
  TimerState,
  TimerSummary,
} from '../core/timer.ts';

/** What is known of a timer once it is created. Instants in milliseconds of the Unix epoch. */
export interface CreatedTimer {
  readonly id: TimerId;
  readonly dueAtMs: number;
  readonly createdAtMs: number;
  /** It had been created before, under the same idempotency key. */
  readonly isReplay: boolean;
}

/** The answer to a create: schemas/timer.ts, CreatedTimerBody. Says the same whenever it is asked for. */
export function createdTimerBody(
  { request, expiresAfterMs }: NewTimer,
  { id, dueAtMs, createdAtMs }: CreatedTimer,
) {
  return {
    id,
    time_left: secondsLeft(dueAtMs - createdAtMs),
    status: 'pending',
    url: request.url,
    due_at: instantText(dueAtMs),
    created_at: instantText(createdAtMs),
    expires_at: expiresAfterMs === null ? null : instantText(dueAtMs + expiresAfterMs),
  };
}

/** A timer as the API shows it: schemas/timer.ts, TimerBody. */
export function timerBody(timer: Timer) {
  return {
    ...stateFields(timer),
    ...bodyFields(timer.request.body),
    attempts: timer.attempts.map(attemptBody),
  };
}

/** A timer in a list: schemas/timer.ts, TimerSummaryBody. */
export function timerSummaryBody(timer: TimerSummary) {
  return {
    ...stateFields(timer),
    attempt_count: timer.attemptCount,
    body_bytes: timer.bodyBytes,
  };
}

function stateFields(timer: TimerState) {
  const { request, retry } = timer;
  const { headers, secretNames } = shownHeaders(request.headers);
  return {
    id: timer.id,
    version: timer.version,
    key: timer.key,
    time_left: secondsLeft(timer.timeLeftMs),
    status: timer.status,
    url: request.url,
    method: request.method,
    headers,
    secret_headers: secretNames,
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
    defect: timer.defect,
  };
}

/** An attempt with what was answered to it: schemas/attempt.ts, AttemptsBody. */
export function attemptWithResponseBody(attempt: AttemptWithResponse) {
  const { response } = attempt;
  return {
    ...attemptBody(attempt),
    response_headers: response?.headers ?? null,
    response_bytes: response?.bytes ?? null,
    ...responseBodyFields(response),
  };
}

function attemptBody(attempt: Attempt) {
  return {
    number: attempt.number,
    started_at: instant(attempt.startedAtMs),
    lateness_ms: attempt.latenessMs,
    duration_ms: attempt.durationMs,
    status: attempt.status,
    error_code: attempt.errorCode,
    lost: attempt.errorCode === 'lost',
  };
}

/** Seconds with fractions, never negative. */
function secondsLeft(ms: number): number {
  return Math.min(Math.max(0, Math.round(ms)), instantMaxMs) / 1_000;
}

function instant(ms: number | null): string | null {
  return ms === null ? null : instantText(ms);
}

/** Neither when there is no body. */
function bodyFields(body: Buffer | null): { body?: string; body_base64?: string } {
  if (body === null) return {};
  const shown = bodyText(body, { isCut: false });
  return 'text' in shown ? { body: shown.text } : { body_base64: shown.base64 };
}

function responseBodyFields(response: ResponseSample | null): {
  response_body?: string;
  response_body_base64?: string;
} {
  if (response === null || response.body === null) return {};
  const shown = bodyText(response.body, { isCut: response.bytes > response.body.length });
  return 'text' in shown ? { response_body: shown.text } : { response_body_base64: shown.base64 };
}

function retryBody(policy: RetryPolicy) {
  return {
    max_attempts: policy.attemptsMax,
    base: policy.baseMs / 1_000,
    factor: policy.factor,
    cap: policy.capMs / 1_000,
    jitter: policy.jitter,
    max_age: policy.ageMaxMs === null ? null : policy.ageMaxMs / 1_000,
    ...(policy.on === undefined ? {} : { on: [...policy.on] }),
  };
}
