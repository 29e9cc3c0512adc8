/**
 * Every error that a caller of the API can meet. The code is part of the contract: it is never
 * renamed and never reused. `retryable` says whether the same request may succeed later.
 */
export const errorCatalogue = {
  validation_failed: { status: 400, title: 'The request is not valid', retryable: false },
  invalid_json: { status: 400, title: 'The body is not JSON', retryable: false },
  bad_request: { status: 400, title: 'The request is not valid HTTP', retryable: false },
  secrets_not_configured: {
    status: 400,
    title: 'The service has no key to keep secrets with',
    retryable: false,
  },
  unauthenticated: { status: 401, title: 'A valid token is needed', retryable: false },
  forbidden: { status: 403, title: 'The token does not allow this', retryable: false },
  origin_not_allowed: {
    status: 403,
    title: 'The request does not come from this machine',
    retryable: false,
  },
  target_not_allowed: { status: 403, title: 'The target is not allowed', retryable: false },
  quota_exceeded: { status: 403, title: 'A quota of the project is used up', retryable: false },
  timer_not_found: { status: 404, title: 'No such timer', retryable: false },
  token_not_found: { status: 404, title: 'No such token', retryable: false },
  secret_not_found: { status: 404, title: 'No such secret', retryable: false },
  destination_not_found: {
    status: 404,
    title: 'No such settings of a destination',
    retryable: false,
  },
  breaker_not_found: {
    status: 404,
    title: 'No open breaker of that destination',
    retryable: false,
  },
  signing_key_not_found: { status: 404, title: 'No such signing key', retryable: false },
  project_not_found: { status: 404, title: 'No such project', retryable: false },
  route_not_found: { status: 404, title: 'No such route', retryable: false },
  too_late: { status: 409, title: 'Too late to change this timer', retryable: false },
  not_retryable: {
    status: 409,
    title: 'Only a failed or cancelled timer can be retried',
    retryable: false,
  },
  name_taken: { status: 409, title: 'The name is taken', retryable: false },
  version_mismatch: {
    status: 412,
    title: 'It has been changed meanwhile',
    retryable: false,
  },
  body_too_large: { status: 413, title: 'The body is too large', retryable: false },
  idempotency_key_reused: {
    status: 422,
    title: 'The idempotency key belongs to another request',
    retryable: false,
  },
  rate_limited: { status: 429, title: 'Too many requests', retryable: true },
  internal: { status: 500, title: 'Something went wrong inside Belfry', retryable: true },
  store_unavailable: { status: 503, title: 'The database is not available', retryable: true },
  commit_unknown: {
    status: 503,
    title: 'The connection was lost while the change was being committed',
    retryable: true,
  },
  overloaded: { status: 503, title: 'Too much work is waiting', retryable: true },
  owner_unresponsive: {
    status: 503,
    title: 'The process that holds this timer did not answer',
    retryable: true,
  },
} as const satisfies Record<string, { status: number; title: string; retryable: boolean }>;

export type ErrorCode = keyof typeof errorCatalogue;

/** One field of the request that was refused: `field` as the caller wrote it, `message` what it takes. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/** Which quota a request goes beyond: its name, and how much there may be and is, as callers say it. */
export interface QuotaProblem {
  readonly quota: string;
  readonly limit: number;
  readonly used: number;
}

/** An error with a code of the catalogue. `message` says what failed, and with which id. */
export class BelfryError extends Error {
  override readonly name = 'BelfryError';
  readonly code: ErrorCode;
  readonly fields: readonly FieldProblem[];
  /** Of `quota_exceeded`. */
  readonly quota: QuotaProblem | undefined;
  /** When to try again, if it is known. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      cause?: unknown;
      fields?: readonly FieldProblem[];
      quota?: QuotaProblem;
      retryAfterSeconds?: number;
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.fields = options.fields ?? [];
    this.quota = options.quota;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** A `validation_failed` error about one field. */
export function invalidField(field: string, message: string): BelfryError {
  return new BelfryError('validation_failed', `${field} ${message}`, {
    fields: [{ field, message }],
  });
}

/** Marks a switch as complete: a new member of the union becomes a type error here. */
export function assertNever(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
