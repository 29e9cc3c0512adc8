import type { HttpMethod, Json, RetriedStatus, TimerStatus } from './responses.ts';

/** An instant: RFC 3339 text with an offset, or a Date. Kept to the millisecond. */
export type Instant = string | Date;

/** A span of time: seconds as a number (fractions kept) or ISO 8601 text such as `"PT1.5S"`. */
export type Span = number | string;

/** Whole seconds, minutes or hours; fractions are cut off. */
export type WholeNumber = number | string;

/** From now: these are added up. */
export interface InClockTime {
  readonly hours?: WholeNumber;
  readonly minutes?: WholeNumber;
  readonly seconds?: WholeNumber;
  readonly delay?: never;
  readonly due_at?: never;
}

/** From now, as one span. */
export interface AfterDelay {
  readonly delay: Span;
  readonly hours?: never;
  readonly minutes?: never;
  readonly seconds?: never;
  readonly due_at?: never;
}

/** At an instant; one in the past means now, and at most 100 years ahead. */
export interface AtInstant {
  readonly due_at: Instant;
  readonly hours?: never;
  readonly minutes?: never;
  readonly seconds?: never;
  readonly delay?: never;
}

/** One way of saying when; none means now. */
export type When = InClockTime | AfterDelay | AtInstant;

/** How failed attempts are repeated; what is left out is as the service has it. */
export interface RetryOptions {
  /** Attempts in all, the first included: 1 to 100. */
  readonly max_attempts?: number;
  /** Wait after the first failure. */
  readonly base?: Span;
  /** Each further wait is this many times the one before: 1 to 100. */
  readonly factor?: number;
  /** No wait is longer. */
  readonly cap?: Span;
  /** Share by which a wait is spread at random, both ways: 0 to 1. */
  readonly jitter?: number;
  /** No attempt is made later than this after the timer was due. */
  readonly max_age?: Span;
  /** Of the responses, these alone lead to another attempt. */
  readonly on?: readonly RetriedStatus[];
}

export type HeaderValues = Readonly<Record<string, string | readonly string[]>>;

/** At most one of the three. */
export type RequestBody =
  | { readonly body?: string; readonly body_base64?: never; readonly json?: never }
  | { readonly body?: never; readonly body_base64: string; readonly json?: never }
  | { readonly body?: never; readonly body_base64?: never; readonly json: Json };

interface TimerFields {
  /** POST unless given. */
  readonly method?: HttpMethod;
  /** At most 50 values and 8 KiB. */
  readonly headers?: HeaderValues;
  /** Those of `headers` that are kept encrypted and never shown; Authorization and its like always are. */
  readonly secret_headers?: readonly string[];
  /** Whether the timer's id follows the path of the URL (and the query is dropped). Default true. */
  readonly append_id?: boolean;
  /** Bound of one attempt. Default: the service's WEBHOOK_TIMEOUT. */
  readonly timeout?: Span;
  readonly retry?: RetryOptions;
  /** At most 16, of 1 to 100 characters. */
  readonly labels?: readonly string[];
  /** At most 4 KiB of JSON; shown with the timer, never sent. */
  readonly metadata?: Json;
  /** Not started so long after it was due, the timer fails with `expired`. Default: never. */
  readonly expires_after?: Span;
}

/** The body of a create: where, when, and with what. */
export type NewTimer = { readonly url: string } & TimerFields & When & RequestBody;

type Clearable = 'headers' | 'timeout' | 'retry' | 'labels' | 'metadata' | 'expires_after';

/** The body of a PATCH: what is left out stays. `null` clears. Must not be empty. */
export type TimerChanges = { readonly url?: string } & Omit<TimerFields, Clearable> & {
    readonly [Name in Clearable]?: Exclude<TimerFields[Name], undefined> | null;
  } & When &
  (RequestBody | { readonly body: null; readonly body_base64?: never; readonly json?: never });

/** `live`: pending, delivering or retrying. `finished`: the others. */
export type StatusFilter = TimerStatus | 'live' | 'finished';

/** Which timers. All that is given must hold. */
export interface TimerFilter {
  /** Any of these. */
  readonly status?: StatusFilter | readonly StatusFilter[];
  readonly label?: string;
  /** `host` or `host:port`, exactly. */
  readonly host?: string;
  readonly key?: string;
  readonly url_prefix?: string;
  /** Inclusive. */
  readonly due_after?: Instant;
  /** Exclusive. */
  readonly due_before?: Instant;
  /** Inclusive. */
  readonly created_after?: Instant;
  /** Exclusive. */
  readonly created_before?: Instant;
}

/** Which timers, and in which order. */
export interface ListFilter extends TimerFilter {
  /** `newest` (default): highest id first. `soonest`: by next attempt, live timers only. */
  readonly order?: 'newest' | 'soonest';
  /** Timers a page at the most: 1 to 500, default 50. */
  readonly limit?: number;
  /** `next` of an earlier page, to go on from there with the same filter. */
  readonly cursor?: string;
}

/** A token bucket: so many requests in `per` (a second by default), `burst` of them at once. */
export interface RateWish {
  readonly requests: number;
  /** 1 s to a day. */
  readonly per?: Span;
  /** At least what half a second brings. Default: as many as `requests`. */
  readonly burst?: number;
}

/** A change of what a project may do at most: null takes a limit away. */
export interface LimitsPatch {
  readonly rate?: RateWish | null;
  readonly live_timers?: number | null;
  /** A day is one of UTC. */
  readonly creates_per_day?: number | null;
  readonly body_bytes?: number | null;
  /** How far ahead a timer may be due. */
  readonly horizon?: Span | null;
  /** How many attempts a timer may ask for. */
  readonly attempts?: number | null;
}

/** So many attempts in so long a time. */
export interface DestinationRate {
  /** 1 to 1,000,000. */
  readonly count: number;
  readonly per: 'second' | 'minute' | 'hour';
}

/** Mutual TLS, in PEM: a certificate with its key, authorities, or both. */
export interface DestinationTls {
  /** What the service shows to the receiver, with those that lead from it to an authority. */
  readonly certificate?: string | null;
  /** Without a passphrase. It is not shown again. */
  readonly key?: string | null;
  /** What the receiver's certificate must come from, in place of the public authorities. */
  readonly ca?: string | null;
}

/** What holds for destinations. Null, or left out: nothing of the kind. */
export interface DestinationSettings {
  /** Attempts under way at once, in all processes: 1 to 10,000. */
  readonly concurrency?: number | null;
  /** Attempts in a time, in all processes. */
  readonly rate?: DestinationRate | null;
  /** Bound of an attempt, for timers that say none. */
  readonly timeout?: Span | null;
  /** Sent where the timer has none of that name. `[secret]`: the secret value that is there. */
  readonly headers?: HeaderValues | null;
  /** Those of `headers` that are kept encrypted and never shown. */
  readonly secret_headers?: readonly string[];
  readonly tls?: DestinationTls | null;
}

/** What is left out stays; null takes it away. Must not be empty. */
export type DestinationChanges = DestinationSettings;
