import { parseLabels, parseMetadata } from '../core/annotations.ts';
import { parseDue, parseSpan, type DueFields } from '../core/due.ts';
import { BelfryError, invalidField } from '../core/errors.ts';
import type { IdempotencyKey } from '../core/idempotency.ts';
import { parseRequestBody, type BodyFields } from '../core/requestBody.ts';
import { parseRequestHeaders } from '../core/requestHeaders.ts';
import { parseRetryPolicy, type RetryPolicy } from '../core/retryPolicy.ts';
import { checkSecretHeaders, markSecretHeaders } from '../core/secretHeaders.ts';
import { parseTargetUrl, type TargetObjection, type TargetParts } from '../core/target.ts';
import { httpMethods, type HttpMethod, type NewTimer, type TimerRequest } from '../core/timer.ts';

/** The body of a create request, its fields not looked at yet. */
export interface CreateTimerFields extends DueFields, BodyFields {
  readonly url?: unknown;
  readonly expires_after?: unknown;
  readonly method?: unknown;
  readonly headers?: unknown;
  readonly secret_headers?: unknown;
  readonly append_id?: boolean;
  readonly timeout?: unknown;
  readonly retry?: unknown;
  readonly labels?: unknown;
  readonly metadata?: unknown;
}

/** What bounds a new timer. */
export interface NewTimerRules {
  readonly urlLengthMax: number;
  readonly timeoutMaxMs: number;
  readonly retryDefaults: RetryPolicy;
  /** Whether secret headers can be kept encrypted. */
  readonly canKeepSecrets: boolean;
  /** Undefined when deliveries may go there, as far as can be told without a look-up. */
  judgeTarget(url: TargetParts): TargetObjection | undefined;
  /** At most the database's clock, or the machine's before the first sample. */
  nowMs(): number;
}

/**
 * Reads a create request.
 * @throws BelfryError `validation_failed` or `secrets_not_configured` naming the field,
 *   `target_not_allowed`.
 */
export function parseNewTimer(
  projectId: number,
  fields: CreateTimerFields,
  rules: NewTimerRules,
  idempotencyKey: IdempotencyKey | null,
): NewTimer {
  const url = parseAllowedUrl(fields.url, rules);
  const due = parseDue(fields, rules.nowMs());
  const expiresAfterMs =
    fields.expires_after === undefined ? null : parseSpan('expires_after', fields.expires_after);
  if (expiresAfterMs === 0) throw invalidField('expires_after', 'must be more than 0');
  return {
    projectId,
    due,
    expiresAfterMs,
    request: { url, ...parseRequest(fields, rules) },
    retry: parseRetryPolicy(fields.retry, rules.retryDefaults),
    labels: parseLabels(fields.labels),
    metadata: parseMetadata(fields.metadata),
    key: null,
    idempotencyKey,
  };
}

/** The same for every host that is refused: the reason is for the operator's log. */
const objections: Readonly<Record<TargetObjection['rule'], string>> = {
  scheme: 'must be an https URL (HTTPS_ONLY)',
  port: 'must have a port that deliveries may call (ALLOW_PORTS)',
  host: 'must have a host that deliveries may reach; an operator can allow it with ALLOW_TARGETS',
};

export function parseAllowedUrl(
  value: unknown,
  { urlLengthMax, judgeTarget }: NewTimerRules,
): string {
  const url = parseTargetUrl(value, urlLengthMax);
  const objection = judgeTarget(url);
  if (objection !== undefined) {
    const message = objections[objection.rule];
    throw new BelfryError('target_not_allowed', `url ${message}`, {
      fields: [{ field: 'url', message }],
    });
  }
  return String(value);
}

function parseRequest(
  fields: CreateTimerFields,
  { timeoutMaxMs, canKeepSecrets }: NewTimerRules,
): Omit<TimerRequest, 'url'> {
  const method = parseMethod(fields.method);
  const headers = markSecretHeaders(parseRequestHeaders(fields.headers), fields.secret_headers);
  checkSecretHeaders(headers, canKeepSecrets);
  const { body, contentType } = parseRequestBody(fields);
  if (method === 'GET' && body !== null) {
    throw invalidField('method', 'must be other than GET for a timer with a body');
  }
  return {
    method,
    // A media type that the caller gives wins.
    headers: contentType === null ? headers : { 'content-type': contentType, ...headers },
    body,
    appendId: fields.append_id ?? true,
    timeoutMs: parseTimeout(fields.timeout, timeoutMaxMs),
  };
}

export function parseMethod(value: unknown): HttpMethod {
  if (value === undefined) return 'POST';
  const method = httpMethods.find((name) => name === value);
  if (method === undefined)
    throw invalidField('method', `must be one of ${httpMethods.join(', ')}`);
  return method;
}

export function parseTimeout(value: unknown, timeoutMaxMs: number): number | null {
  if (value === undefined) return null;
  const timeoutMs = parseSpan('timeout', value);
  if (timeoutMs === 0) throw invalidField('timeout', 'must be more than 0');
  if (timeoutMs > timeoutMaxMs) {
    throw invalidField('timeout', `must be at most ${timeoutMaxMs / 1_000} s (MAX_TIMEOUT)`);
  }
  return timeoutMs;
}
