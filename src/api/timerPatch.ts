import { parseLabels, parseMetadata } from '../core/annotations.ts';
import { parseDue, parseSpan, saysWhen } from '../core/due.ts';
import { invalidField } from '../core/errors.ts';
import { parseRequestBody } from '../core/requestBody.ts';
import { parseRequestHeaders } from '../core/requestHeaders.ts';
import { parseRetryPolicy } from '../core/retryPolicy.ts';
import { checkSecretHeaders, keepSecretHeaders, markSecretHeaders } from '../core/secretHeaders.ts';
import { secretUsesOf, type SecretUse } from '../core/secretTemplate.ts';
import type { Timer, TimerContent, TimerRequest } from '../core/timer.ts';
import type { TimerEdit } from '../core/timerChange.ts';
import {
  parseAllowedUrl,
  parseMethod,
  parseTimeout,
  type CreateTimerFields,
  type NewTimerRules,
} from './newTimer.ts';

const whenFields = new Set(['hours', 'minutes', 'seconds', 'delay', 'due_at']);

/**
 * Reads a PATCH: each field as in a create request; null clears `headers`, the body, `timeout`,
 * `retry`, `labels`, `metadata` and `expires_after`. Headers are replaced as a whole; `[secret]` is the
 * value of a secret header that the timer has. What is read at once is what does not depend on the
 * timer; `edit` makes of the timer as it stands what it is to be.
 * @throws BelfryError `validation_failed` or `secrets_not_configured` naming the field,
 *   `target_not_allowed`; so may the edit.
 */
export function parseTimerPatch(
  fields: CreateTimerFields,
  rules: NewTimerRules,
): { readonly edit: (timer: Timer) => TimerEdit; readonly secretUses: readonly SecretUse[] } {
  if (Object.keys(fields).length === 0) throw invalidField('body', 'must say what is to change');
  const due = saysWhen(fields) ? parseDue(fields, rules.nowMs()) : null;
  const parts = parseParts(fields, rules);
  const isMoveOnly = Object.keys(fields).every((name) => whenFields.has(name));
  return {
    edit(timer) {
      if (isMoveOnly) return { due, content: null };
      return { due, content: contentOf(timer, fields, parts, rules) };
    },
    secretUses: secretUsesOf(parts),
  };
}

type Parts = ReturnType<typeof parseParts>;

/** Undefined for what is not said. */
function parseParts(fields: CreateTimerFields, rules: NewTimerRules) {
  const given = <Value>(value: unknown, parse: (value: unknown) => Value) =>
    value === undefined ? undefined : parse(value);
  const orNull =
    <Value>(parse: (value: unknown) => Value) =>
    (value: unknown) =>
      value === null ? null : parse(value);
  const { body, body_base64, json } = fields;
  const saysBody = body !== undefined || body_base64 !== undefined || json !== undefined;
  return {
    url: given(fields.url, (value) => parseAllowedUrl(value, rules)),
    method: given(fields.method, parseMethod),
    headers: parseHeaders(fields),
    body: saysBody ? parseBody(fields) : undefined,
    timeoutMs: given(
      fields.timeout,
      orNull((value) => parseTimeout(value, rules.timeoutMaxMs)),
    ),
    retry: given(
      fields.retry,
      orNull((value) => parseRetryPolicy(value, rules.retryDefaults)),
    ),
    labels: given(fields.labels, orNull(parseLabels)),
    metadata: given(fields.metadata, orNull(parseMetadata)),
    expiresAfterMs: given(fields.expires_after, orNull(parseExpiry)),
  };
}

/** Undefined when nothing is said of them. */
function parseHeaders({ headers, secret_headers: secretNames }: CreateTimerFields) {
  if (headers === undefined && secretNames === undefined) return undefined;
  return markSecretHeaders(headers === null ? null : parseRequestHeaders(headers), secretNames);
}

function parseBody(fields: CreateTimerFields) {
  const others = fields.json === undefined && fields.body_base64 === undefined;
  if (others && fields.body === null) return { body: null, contentType: null };
  return parseRequestBody(fields);
}

function parseExpiry(value: unknown): number {
  const ms = parseSpan('expires_after', value);
  if (ms === 0) throw invalidField('expires_after', 'must be more than 0');
  return ms;
}

function contentOf(
  timer: Timer,
  fields: CreateTimerFields,
  parts: Parts,
  rules: NewTimerRules,
): TimerContent {
  const expiresAfterMs = timer.expiresAtMs === null ? null : timer.expiresAtMs - timer.dueAtMs;
  return {
    request: requestOf(timer.request, fields, parts, rules),
    retry: parts.retry === undefined ? timer.retry : parts.retry,
    labels: parts.labels === undefined ? timer.labels : parts.labels,
    metadata: parts.metadata === undefined ? timer.metadata : parts.metadata,
    expiresAfterMs: parts.expiresAfterMs === undefined ? expiresAfterMs : parts.expiresAfterMs,
  };
}

function requestOf(
  before: TimerRequest,
  fields: CreateTimerFields,
  parts: Parts,
  { canKeepSecrets }: NewTimerRules,
): TimerRequest {
  const body = parts.body === undefined ? before.body : parts.body.body;
  const method = parts.method ?? before.method;
  if (method === 'GET' && body !== null) {
    throw invalidField('method', 'must be other than GET for a timer with a body');
  }
  const contentType = parts.body?.contentType ?? null;
  const headers =
    parts.headers === undefined ? before.headers : keepSecretHeaders(parts.headers, before.headers);
  checkSecretHeaders(headers, canKeepSecrets);
  return {
    url: parts.url ?? before.url,
    method,
    // A media type that the caller gives wins; the one of the body before does not.
    headers:
      contentType === null
        ? headers
        : { ...headers, 'content-type': contentType, ...contentTypeOf(parts.headers) },
    body,
    appendId: fields.append_id ?? before.appendId,
    timeoutMs: parts.timeoutMs === undefined ? before.timeoutMs : parts.timeoutMs,
  };
}

function contentTypeOf(headers: TimerRequest['headers'] | undefined) {
  const contentType = headers?.['content-type'];
  return contentType === undefined ? {} : { 'content-type': contentType };
}
