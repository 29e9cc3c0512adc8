import { assertNever } from './errors.ts';
import { retryAfterMs } from './retryAfter.ts';
import { isRetriedStatus, retryDelayMs, type RetryPolicy } from './retryPolicy.ts';

/** Why an attempt got no HTTP response that counts. Part of the contract, like error codes. */
export type AttemptErrorCode =
  | 'http_status'
  | 'redirect'
  | 'timeout'
  | 'dns_failed'
  | 'connection_refused'
  | 'connection_failed'
  | 'connection_reset'
  | 'tls_failed'
  | 'tls_expired'
  | 'tls_untrusted'
  | 'tls_wrong_name'
  | 'tls_protocol'
  | 'proxy_failed'
  | 'response_invalid'
  | 'target_not_allowed'
  | 'request_invalid'
  /** A secret that the request names is not there, or cannot be decrypted. */
  | 'secret_missing'
  | 'secret_unreadable'
  /** Something that is stored of the timer is not what it should be. */
  | 'unprocessable'
  | 'lost';

/** What one attempt came to, as the delivery saw it. Instants are by the database's clock. */
export interface AttemptRecord {
  readonly startedAtMs: number;
  /** Start minus the instant it was due (retries: their own instant). */
  readonly latenessMs: number;
  readonly durationMs: number;
  /** The HTTP status, when a response came. */
  readonly status: number | null;
  /** Null when the attempt succeeded. */
  readonly errorCode: AttemptErrorCode | null;
  /** Left out when there was no response, or nothing of it to keep. */
  readonly response?: ResponseSample;
  /** Why it failed, more precisely than callers may know: for the operator's log alone. */
  readonly detail?: string;
}

/** What is kept of a response. */
export interface ResponseSample {
  /** A few, by their names in lower case; null for none. */
  readonly headers: Readonly<Record<string, string>> | null;
  /** The beginning of the body; null for none. */
  readonly body: Buffer | null;
  /** How much of the body was read. */
  readonly bytes: number;
}

/** Why a timer ended as `failed`. */
export type FailureCode =
  | 'attempts_exhausted'
  | 'too_old'
  | 'gone'
  | 'declined'
  | 'status_not_retried'
  | 'expired'
  | 'attempts_lost'
  | 'unprocessable';

/** What a delivery hands back: an attempt, or word that none was started. */
export type Outcome =
  | { readonly kind: 'attempted'; readonly attempt: AttemptRecord }
  | { readonly kind: 'not_started'; readonly reason: NotStartedReason };

/**
 * `taken_over`: the timer is not ours any more; `not_prepared`: the database could not be asked what
 * it had to be asked before the start; `crowded`: too many wait for its destination already.
 */
export type NotStartedReason =
  'expired' | 'lease_ended' | 'recalled' | 'taken_over' | 'not_prepared' | 'crowded';

/** What becomes of the timer. */
export type Verdict =
  | { readonly kind: 'succeeded' }
  | { readonly kind: 'failed'; readonly code: FailureCode }
  | { readonly kind: 'retry'; readonly delayMs: number };

const httpGone = 410;

/**
 * Decides after an attempt: any 2xx succeeds; 410 means that the receiver is gone for good, and
 * `belfry-retry: no` that it wants no more of this; all else that the policy does not leave out is
 * tried again until its attempts are used up, or the next one would come too late. No sooner than a
 * `Retry-After` says.
 * `failures` counts this one too; `ageMs` is how long ago the timer was due at the attempt's end.
 */
export function judgeAttempt(options: {
  attempt: AttemptRecord;
  failures: number;
  ageMs: number;
  policy: RetryPolicy;
  random: () => number;
}): Verdict {
  const { attempt, failures, ageMs, policy, random } = options;
  if (attempt.errorCode === null) return { kind: 'succeeded' };
  if (attempt.status === httpGone) return { kind: 'failed', code: 'gone' };
  if (isDeclined(attempt)) return { kind: 'failed', code: 'declined' };
  if (attempt.status !== null && !isRetriedStatus(policy, attempt.status)) {
    return { kind: 'failed', code: 'status_not_retried' };
  }
  if (failures >= policy.attemptsMax) {
    return { kind: 'failed', code: isOurs(attempt) ? 'unprocessable' : 'attempts_exhausted' };
  }
  const delayMs = Math.max(retryDelayMs(policy, failures, random), askedDelayMs(attempt));
  if (policy.ageMaxMs !== null && ageMs + delayMs > policy.ageMaxMs) {
    return { kind: 'failed', code: 'too_old' };
  }
  return { kind: 'retry', delayMs };
}

/** Nothing was sent, for a reason that the receiver knows nothing of and an operator has to mend. */
function isOurs({ errorCode }: AttemptRecord): boolean {
  return errorCode === 'unprocessable' || errorCode === 'secret_unreadable';
}

function isDeclined({ response }: AttemptRecord): boolean {
  return response?.headers?.['belfry-retry']?.trim().toLowerCase() === 'no';
}

/** What a `Retry-After` of the answer asks for; 0 without one. */
export function askedDelayMs({ response, startedAtMs, durationMs }: AttemptRecord): number {
  const asked = response?.headers?.['retry-after'];
  return asked === undefined ? 0 : (retryAfterMs(asked, startedAtMs + durationMs) ?? 0);
}

/** The timer's status once the verdict is recorded. */
export function statusAfter(verdict: Verdict): 'succeeded' | 'failed' | 'retrying' {
  switch (verdict.kind) {
    case 'succeeded':
      return 'succeeded';
    case 'failed':
      return 'failed';
    case 'retry':
      return 'retrying';
    default:
      return assertNever(verdict);
  }
}

/** Tries after which a timer that cannot be processed ends, whatever its policy says. */
export const unprocessableTriesMax = 3;

/** Attempts lost in a row (their process died) after which a timer ends: it may be what kills it. */
export const lostInRowMax = 3;
