/** Any JSON value. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export type TimerStatus =
  'pending' | 'delivering' | 'retrying' | 'succeeded' | 'failed' | 'cancelled';

/** Why a timer ended as `failed`. A newer service may know more. */
export type FailureCode =
  | 'attempts_exhausted'
  | 'too_old'
  | 'declined'
  | 'status_not_retried'
  | 'gone'
  | 'expired'
  | 'attempts_lost'
  | 'unprocessable'
  | (string & Record<never, never>);

/** Why an attempt failed. A newer service may know more. */
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
  | 'secret_missing'
  | 'secret_unreadable'
  | 'unprocessable'
  | 'lost'
  | (string & Record<never, never>);

/** The answer to a create. Instants are RFC 3339 text in UTC. */
export interface CreatedTimer {
  /** A whole number below 2^53. */
  readonly id: number;
  /** Seconds until due, with fractions; never negative. */
  readonly time_left: number;
  readonly status: 'pending';
  readonly url: string;
  readonly due_at: string;
  readonly created_at: string;
  /** Not started by then, it fails. */
  readonly expires_at: string | null;
}

/** One attempt. Of one that was `lost` (its process died) only the number is known. */
export interface Attempt {
  /** 1, 2, 3, … */
  readonly number: number;
  readonly started_at: string | null;
  /** Start minus the instant it was due. */
  readonly lateness_ms: number | null;
  readonly duration_ms: number | null;
  /** The HTTP status, when a response came. */
  readonly status: number | null;
  /** Null when it succeeded. */
  readonly error_code: AttemptErrorCode | null;
  readonly lost: boolean;
}

/** An attempt with what is kept of the response. */
export interface AttemptWithResponse extends Attempt {
  /** A few of them, by their names in lower case. */
  readonly response_headers: Readonly<Record<string, string>> | null;
  /** How much of the body was read. */
  readonly response_bytes: number | null;
  /** The beginning of the body, when it is text. */
  readonly response_body?: string;
  /** The same, when it is not. */
  readonly response_body_base64?: string;
}

/** A status from 300 to 599, or a whole class. */
export type RetriedStatus = number | '3xx' | '4xx' | '5xx';

/** How failed attempts are repeated. Times in seconds. */
export interface RetryPolicy {
  readonly max_attempts: number;
  readonly base: number;
  readonly factor: number;
  readonly cap: number;
  readonly jitter: number;
  readonly max_age: number | null;
  /** Of the responses, these alone lead to another attempt; left out for all. */
  readonly on?: readonly RetriedStatus[];
}

interface TimerCore {
  readonly id: number;
  /** Counts the changes; the `etag` of the timer. */
  readonly version: number;
  /** The name it was put under; null for none. */
  readonly key: string | null;
  /** Seconds until due, with fractions; 0 once past or finished. */
  readonly time_left: number;
  readonly status: TimerStatus;
  readonly url: string;
  readonly method: HttpMethod;
  /** `[secret]` in place of the values of secret ones. */
  readonly headers: Readonly<Record<string, string | readonly string[]>> | null;
  readonly secret_headers: readonly string[];
  readonly append_id: boolean;
  /** Seconds for one attempt; null for the service's WEBHOOK_TIMEOUT. */
  readonly timeout: number | null;
  /** Null for the service's defaults. */
  readonly retry: RetryPolicy | null;
  readonly labels: readonly string[];
  readonly metadata: Json;
  readonly due_at: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  /** Null once finished. */
  readonly next_attempt_at: string | null;
  readonly finished_at: string | null;
  readonly failure_code: FailureCode | null;
  /** What of it was damaged in the database, so that nothing is sent of it; left out for none. */
  readonly defect?: string;
}

/** A timer with its attempts. */
export interface Timer extends TimerCore {
  /** The body it sends, when it is text; neither field when there is none. */
  readonly body?: string;
  /** The same, when it is not text. */
  readonly body_base64?: string;
  readonly attempts: readonly Attempt[];
}

/** A timer as lists show it: without its body and attempts. */
export interface ListedTimer extends TimerCore {
  readonly attempt_count: number;
  readonly body_bytes: number;
}

/** One page of a list. It may be shorter than asked for, even empty, while `next` is given. */
export interface TimerPage {
  readonly timers: readonly ListedTimer[];
  /** The cursor of the page after it; null at the end. */
  readonly next: string | null;
}

export interface CancelledTimer {
  readonly id: number;
  readonly status: 'cancelled';
}

/** The live timer that had a key until another was put under it while it was being delivered. */
export interface PreviousTimer {
  readonly id: number;
  readonly status: TimerStatus;
}

/** What became of one timer of a batch; `index` is its place in it. */
export type BatchResult =
  | { readonly index: number; readonly status: 201; readonly timer: CreatedTimer }
  | { readonly index: number; readonly status: number; readonly error: BatchProblem };

interface BatchProblem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly fields?: readonly { readonly field: string; readonly message: string }[];
  readonly quota?: string;
  readonly limit?: number;
  readonly used?: number;
}

export interface Health {
  readonly status: 'ok';
}

/** Whether the service can work, and what it looked at. */
export interface Readiness {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, { readonly ok: boolean; readonly detail?: string }>>;
}

/** What a token allows. `admin`: all in its project; `operator`: all in the installation. */
export type Scope = 'timers:read' | 'timers:write' | 'admin' | 'operator';

/** How often may be asked: a token bucket for all processes of the service together. */
export interface Rate {
  readonly requests: number;
  /** Seconds. */
  readonly per: number;
  readonly burst: number;
}

/** What a project may do at most; null: not bounded. */
export interface Limits {
  readonly project: number;
  readonly rate: Rate | null;
  readonly live_timers: number | null;
  readonly creates_per_day: number | null;
  readonly body_bytes: number | null;
  /** Seconds. */
  readonly horizon: number | null;
  readonly attempts: number | null;
}

/** What a project uses, beside what it may. */
export interface Usage {
  readonly project: number;
  readonly requests: { readonly limit: Rate | null; readonly remaining: number | null };
  readonly token_requests: { readonly limit: Rate | null; readonly remaining: number | null };
  readonly live_timers: { readonly limit: number | null; readonly used: number };
  /** `used` is null where there is no limit: nobody counts then. */
  readonly creates_per_day: { readonly limit: number | null; readonly used: number | null };
  readonly body_bytes: number | null;
  readonly attempts: number | null;
  /** Seconds. */
  readonly horizon: number | null;
}

/** A token as lists show it: without its secret. Instants are RFC 3339. */
export interface Token {
  /** Not secret. */
  readonly id: string;
  readonly project: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Null: as often as its project may ask. */
  readonly rate: Rate | null;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly revoked_at: string | null;
  /** Give or take a minute. */
  readonly last_used_at: string | null;
}

/** A token that has just been given. */
export interface IssuedToken extends Token {
  /** Its text, this once. */
  readonly token: string;
}

/** A tenant. */
export interface Project {
  readonly id: number;
  readonly name: string;
  readonly created_at: string;
  /** Since when none of its timers starts; null: they do. */
  readonly paused_at: string | null;
}

/** Who asks. `open`: nobody is asked for a token. */
export interface Caller {
  readonly kind: 'token' | 'open';
  readonly id: string | null;
  readonly name: string;
  readonly project: number;
  readonly scopes: readonly Scope[];
}

/** An entry of the audit log. */
export interface AuditEntry {
  readonly id: number;
  readonly at: string;
  readonly project: number;
  readonly actor: {
    readonly kind: string;
    readonly id: string;
    readonly name: string;
    readonly address: string;
  };
  readonly action: string;
  readonly target: string;
  /** JSON text. */
  readonly detail: string;
  /** Its place in the chain; null: not yet. */
  readonly seq: number | null;
  readonly hash: string | null;
}

export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  /** `after` of the page behind; null at the end. */
  readonly next: number | null;
}

/** A named secret, without its value. */
export interface Secret {
  readonly name: string;
  /** Of the key in SECRET_KEYS that it is encrypted with. */
  readonly key_id: string;
  readonly created_at: string;
  readonly updated_at: string;
}

/** By what is signed: HMAC-SHA256 with a shared secret, or Ed25519 with a published key. */
export type SignatureScheme = 'v1' | 'v1a';

/** A key that signs the deliveries of the project, without its secret. Instants are RFC 3339. */
export interface SigningKey {
  /** Not secret. */
  readonly id: string;
  /** A pattern: what goes there is signed with it, unless a more specific one has keys. */
  readonly destination: string;
  readonly scheme: SignatureScheme;
  /** `whpk_…` of v1a: what receivers verify with; null of v1. */
  readonly public_key: string | null;
  readonly created_at: string;
  /** When it stops signing; null: it does not. */
  readonly retires_at: string | null;
}

/** A signing key that has just been made. */
export interface IssuedSigningKey extends SigningKey {
  /** `whsec_…` of v1, this once: what receivers verify with; null of v1a. */
  readonly secret: string | null;
}

/** A key of v1a, as anybody may know it. */
export interface PublishedKey {
  readonly id: string;
  /** `whpk_…`. */
  readonly public_key: string;
  readonly retires_at: string | null;
}

/** One step of a rotation, or all of them. */
export interface SecretRotation {
  readonly done: boolean;
  readonly examined: number;
  readonly changed: number;
  /** Rows that are as they were: changed by others meanwhile, or not to be decrypted. */
  readonly left: number;
  readonly key_id: string;
  /** Keys that nothing is encrypted with any more. */
  readonly retired_key_ids: readonly string[];
  readonly cursor: string | null;
}

/** A certificate without what it certifies with. */
export interface ShownCertificate {
  readonly subject: string;
  /** SHA-256. */
  readonly fingerprint: string;
  readonly expires_at: string;
}

/** A destination that is left alone because it fails. */
export interface Breaker {
  /** Scheme, host and port. */
  readonly destination: string;
  /** `slowed`: it asked for less (429, 503); `disabled`: not tried any more until it is reset. */
  readonly state: 'failing' | 'slowed' | 'disabled';
  readonly failing_since: string;
  /** When one timer is tried; null when it is disabled. */
  readonly next_probe_at: string | null;
  readonly failed_probes: number;
}

/** What holds for the destinations of a pattern. */
export interface Destination {
  /** As it is spelt in targets. */
  readonly pattern: string;
  /** Counts changes, from 1. */
  readonly version: number;
  readonly concurrency: number | null;
  readonly rate: {
    readonly count: number;
    readonly per: 'second' | 'minute' | 'hour';
  } | null;
  /** Seconds. */
  readonly timeout: number | null;
  /** Secret values as `[secret]`. */
  readonly headers: Readonly<Record<string, string | readonly string[]>> | null;
  readonly secret_headers: readonly string[];
  readonly tls: {
    readonly certificate: ShownCertificate | null;
    readonly ca: readonly ShownCertificate[];
  } | null;
  readonly is_paused: boolean;
  readonly created_at: string;
  readonly changed_at: string;
}

/** One thing that keeps a timer from firing. Codes that are not known yet may come. */
export interface Blocker {
  readonly code: BlockerCode | (string & Record<never, never>);
  /** The same in one sentence. */
  readonly message: string;
  readonly since?: string | null;
  /** When it ends by itself; null: it does not, or nobody can say. */
  readonly until: string | null;
  readonly destination?: string;
  readonly attempt?: number;
  readonly error_code?: string | null;
  /** Timers that leave the same lane before it, 10,000 for that many or more. */
  readonly ahead?: number;
  /** Of a rate: attempts a second; of a concurrency: at once. */
  readonly limit?: number;
  readonly breaker?: 'failing' | 'slowed' | 'disabled';
  /** The id of the one that holds it. */
  readonly held_by?: number;
}

export type BlockerCode =
  | 'ended'
  | 'in_flight'
  | 'expiring'
  | 'not_due'
  | 'retry_wait'
  | 'project_paused'
  | 'project_draining'
  | 'destination_paused'
  | 'destination_disabled'
  | 'breaker'
  | 'rate'
  | 'concurrency'
  | 'destination_busy'
  | 'lease'
  | 'no_process'
  | 'claiming';

/** Why a timer has not fired. */
export interface Explanation {
  readonly id: number;
  readonly status: TimerStatus;
  /** By the clock that decides. */
  readonly now: string;
  readonly blocker: Blocker;
  /** What would keep it next. */
  readonly also: readonly Blocker[];
  /** When it is expected to fire; null: never, or nobody can say, or it is under way. */
  readonly expected_at: string | null;
}
