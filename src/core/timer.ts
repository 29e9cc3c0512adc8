import type { Json } from './annotations.ts';
import type { AttemptErrorCode, FailureCode, ResponseSample } from './attempt.ts';
import type { Due } from './due.ts';
import type { IdempotencyKey } from './idempotency.ts';
import type { TimerId } from './ids.ts';
import type { RetryPolicy } from './retryPolicy.ts';
import type { PlainHeader, TimerHeaders } from './secretHeaders.ts';
import type { TlsIdentity } from './tlsIdentity.ts';

/** The states that a caller sees; `docs/states.md` draws who moves a timer between them. */
export type TimerStatus =
  'pending' | 'delivering' | 'retrying' | 'succeeded' | 'failed' | 'cancelled';

export const httpMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
export type HttpMethod = (typeof httpMethods)[number];

/** The request that a timer sends. */
export interface TimerRequest {
  readonly url: string;
  readonly method: HttpMethod;
  /** Name → value or values, already checked at creation; secret ones encrypted; null for none. */
  readonly headers: TimerHeaders | null;
  readonly body: Buffer | null;
  readonly appendId: boolean;
  /** Deadline of one attempt; null for the service's WEBHOOK_TIMEOUT. */
  readonly timeoutMs: number | null;
}

/** The same as it goes out: everything in it is what the receiver is to see. */
export interface SentRequest extends TimerRequest {
  readonly headers: Readonly<Record<string, PlainHeader>> | null;
  /** As whom to connect, where the destination says so. */
  readonly tls?: TlsIdentity | undefined;
}

/** What a caller says of a timer, apart from when it is due. */
export interface TimerContent {
  readonly request: TimerRequest;
  /** Not started later than this after it was due; null for never too late. */
  readonly expiresAfterMs: number | null;
  /** Null for the service's defaults. */
  readonly retry: RetryPolicy | null;
  readonly labels: readonly string[] | null;
  readonly metadata: Json;
}

/** A timer as it is handed to the store. */
export interface NewTimer extends TimerContent {
  readonly projectId: number;
  readonly due: Due;
  /** Its name, which one live timer of a project may have at a time; null for none. */
  readonly key: string | null;
  readonly idempotencyKey: IdempotencyKey | null;
}

/** A timer as it is read back, whole. */
export interface Timer extends TimerState {
  readonly request: TimerRequest;
  readonly attempts: readonly Attempt[];
}

/** A timer as lists show it: of the body only how long it is, of the attempts how many. */
export interface TimerSummary extends TimerState {
  readonly attemptCount: number;
  /** Null for none. */
  readonly bodyBytes: number | null;
}

/** What is common to both. Instants are milliseconds of the Unix epoch. */
export interface TimerState {
  readonly id: TimerId;
  readonly projectId: number;
  /** Counts what callers have changed of it, from 1. */
  readonly version: number;
  /** Its name; null for none. */
  readonly key: string | null;
  readonly status: TimerStatus;
  readonly request: Omit<TimerRequest, 'body'>;
  readonly retry: RetryPolicy | null;
  readonly labels: readonly string[] | null;
  readonly metadata: Json;
  readonly createdAtMs: number;
  readonly dueAtMs: number;
  /** When the next attempt is due; null once finished. */
  readonly nextAtMs: number | null;
  readonly expiresAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly failureCode: FailureCode | null;
  /** What of it is not as the API writes it, and was left out here; see core/storedDefect. */
  readonly defect?: string;
  /** Seconds-to-be: milliseconds until due by the database's clock, never negative, 0 when finished. */
  readonly timeLeftMs: number;
}

/** One attempt as it was kept. For a lost one only number and code are known. */
export interface Attempt {
  readonly number: number;
  readonly startedAtMs: number | null;
  readonly latenessMs: number | null;
  readonly durationMs: number | null;
  readonly status: number | null;
  readonly errorCode: AttemptErrorCode | null;
}

/** An attempt with what is kept of the response; null where there was none, or nothing to keep. */
export interface AttemptWithResponse extends Attempt {
  readonly response: ResponseSample | null;
}

/** A timer that this process owns: `claim` fences every later write about it. */
export interface ClaimedTimer {
  readonly id: TimerId;
  readonly projectId: number;
  readonly owner: number;
  readonly claim: number;
  readonly nextAtMs: number;
  /** When the first attempt was due; `nextAtMs` until there is a retry. */
  readonly dueAtMs: number;
  readonly expiresAtMs: number | null;
  /** Attempts so far, lost ones included; failures that count for the retry policy; lost in a row. */
  readonly attempts: number;
  readonly failures: number;
  readonly lostInRow: number;
  /** The body is left out when it is large: it is fetched at the start of the attempt. */
  readonly request: TimerRequest;
  readonly bodyDeferred: boolean;
  readonly retry: RetryPolicy | null;
  /** What of it is not as the API writes it, and was left out here; see core/storedDefect. */
  readonly defect?: string;
  /** What it takes in memory, for the scheduler's bound. */
  readonly bytes: number;
}

/** How long after a dead owner's lapse a timer of its counts as surely not being started. */
export const takeOverGuardMs = 2_000;
