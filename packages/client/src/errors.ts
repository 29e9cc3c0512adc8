/** The codes of the service's errors: part of its contract. */
export type ErrorCode =
  | 'validation_failed'
  | 'invalid_json'
  | 'bad_request'
  | 'secrets_not_configured'
  | 'unauthenticated'
  | 'forbidden'
  | 'origin_not_allowed'
  | 'target_not_allowed'
  | 'quota_exceeded'
  | 'timer_not_found'
  | 'token_not_found'
  | 'secret_not_found'
  | 'destination_not_found'
  | 'breaker_not_found'
  | 'signing_key_not_found'
  | 'project_not_found'
  | 'route_not_found'
  | 'too_late'
  | 'not_retryable'
  | 'name_taken'
  | 'version_mismatch'
  | 'body_too_large'
  | 'idempotency_key_reused'
  | 'rate_limited'
  | 'internal'
  | 'store_unavailable'
  | 'commit_unknown'
  | 'overloaded'
  | 'owner_unresponsive';

/**
 * A code of the catalogue; `unexpected_response` when something else answered in the service's place
 * (a proxy's error page, say); other text when a newer service knows more codes.
 */
export type BelfryErrorCode = ErrorCode | 'unexpected_response' | (string & Record<never, never>);

/** One field of a request that was refused: its name as given, and what it takes. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/** Problem details (RFC 9457) as the service writes them. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  /** The HTTP status. */
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly fields?: readonly FieldProblem[];
  /** Of `quota_exceeded`. */
  readonly quota?: string;
  readonly limit?: number;
  readonly used?: number;
}

/** Which quota a request went beyond, how much it allows, and how much there is or was asked for. */
export interface QuotaProblem {
  readonly quota: string;
  readonly limit: number;
  readonly used: number;
}

/** The service answered, with an error. `message` is its explanation. */
export class BelfryApiError extends Error {
  override readonly name = 'BelfryApiError';
  readonly code: BelfryErrorCode;
  /** The HTTP status. */
  readonly status: number;
  /** What was wrong with which field; empty unless the request was at fault. */
  readonly fields: readonly FieldProblem[];
  /** Of `quota_exceeded`. */
  readonly quota: QuotaProblem | undefined;
  /** `x-request-id` of the answer, where something sets one. */
  readonly requestId: string | undefined;
  /** How long the answer asks to wait before the next try, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(options: {
    code: BelfryErrorCode;
    status: number;
    message: string;
    fields?: readonly FieldProblem[];
    quota?: QuotaProblem | undefined;
    requestId?: string | undefined;
    retryAfterMs?: number | undefined;
  }) {
    super(options.message);
    this.code = options.code;
    this.status = options.status;
    this.fields = options.fields ?? [];
    this.quota = options.quota;
    this.requestId = options.requestId;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/**
 * No answer came, or none that could be read. Unless it says that no connection was made, whether
 * the service has done what was asked is not known. `cause` is what `fetch` threw.
 */
export class BelfryConnectionError extends Error {
  override readonly name = 'BelfryConnectionError';
  /** Where the request went. */
  readonly url: string;
  readonly reason: 'refused' | 'network' | 'timeout';

  constructor(options: {
    message: string;
    url: string;
    reason: 'refused' | 'network' | 'timeout';
    cause?: unknown;
  }) {
    super(options.message, options.cause === undefined ? {} : { cause: options.cause });
    this.url = options.url;
    this.reason = options.reason;
  }
}

/** Reads an answer that is not a success. */
export function apiErrorOf(
  answer: { readonly status: number; readonly headers: Headers; readonly text: string },
  nowMs: number,
): BelfryApiError {
  const { status, headers, text } = answer;
  const seen = {
    status,
    requestId: headers.get('x-request-id') ?? undefined,
    retryAfterMs: retryAfterMsOf(headers.get('retry-after'), nowMs),
  };
  const problem = problemFrom(text);
  if (problem === undefined) {
    const message = `HTTP ${status} that is no answer of Belfry: ${text.slice(0, 200)}`;
    return new BelfryApiError({ ...seen, code: 'unexpected_response', message });
  }
  const { code, detail, fields, quota } = problem;
  return new BelfryApiError({ ...seen, code, message: detail, fields, quota });
}

function problemFrom(text: string):
  | {
      code: string;
      detail: string;
      fields: readonly FieldProblem[];
      quota: QuotaProblem | undefined;
    }
  | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const code = 'code' in value ? value.code : undefined;
  const detail = 'detail' in value ? value.detail : undefined;
  const fields: unknown = 'fields' in value ? value.fields : undefined;
  if (typeof code !== 'string') return undefined;
  return {
    code,
    detail: typeof detail === 'string' ? detail : code,
    fields: Array.isArray(fields) ? fields.filter(isFieldProblem) : [],
    quota: quotaFrom(value),
  };
}

function quotaFrom(value: object): QuotaProblem | undefined {
  const { quota, limit, used } = { quota: undefined, limit: undefined, used: undefined, ...value };
  const isOne = typeof quota === 'string' && typeof limit === 'number' && typeof used === 'number';
  return isOne ? { quota, limit, used } : undefined;
}

function isFieldProblem(value: unknown): value is FieldProblem {
  return (
    typeof value === 'object' &&
    value !== null &&
    'field' in value &&
    typeof value.field === 'string' &&
    'message' in value &&
    typeof value.message === 'string'
  );
}

/** RFC 9110 10.2.3: seconds, or a date. */
function retryAfterMsOf(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1_000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
