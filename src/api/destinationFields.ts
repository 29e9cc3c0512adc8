import {
  rateSpans,
  type Destination,
  type DestinationContent,
  type DestinationEdit,
  type DestinationRate,
} from '../core/destination.ts';
import { BelfryError, invalidField } from '../core/errors.ts';
import { instantText } from '../core/instant.ts';
import { parseRequestHeaders } from '../core/requestHeaders.ts';
import {
  checkSecretHeaders,
  keepSecretHeaders,
  markSecretHeaders,
  secretsNotConfigured,
  shownHeaders,
} from '../core/secretHeaders.ts';
import { secretUsesOf, type SecretUse } from '../core/secretTemplate.ts';
import { parseTls, type ShownCertificate } from '../core/tlsIdentity.ts';
import { parseTimeout } from './newTimer.ts';
import { concurrencyBound, rateCountMax } from './schemas/destination.ts';

/** The body of a request, its fields not looked at yet. */
export interface DestinationFields {
  readonly concurrency?: unknown;
  readonly rate?: unknown;
  readonly timeout?: unknown;
  readonly headers?: unknown;
  readonly secret_headers?: unknown;
  readonly tls?: unknown;
}

export interface DestinationRules {
  readonly timeoutMaxMs: number;
  readonly canKeepSecrets: boolean;
  nowMs(): number;
}

export interface ParsedDestination {
  /** What it makes of settings; of none, those that are given and nothing else. */
  readonly edit: (base: DestinationContent, before: Destination | undefined) => DestinationEdit;
  readonly secretUses: readonly SecretUse[];
  /** For the log of deeds. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/**
 * Reads settings: what is not given stays as it is in the base, null is none. `[secret]` is the value of
 * a secret header that there is.
 * @throws BelfryError `validation_failed` or `secrets_not_configured` naming the field; so may the edit.
 */
export function parseDestinationFields(
  fields: DestinationFields,
  { timeoutMaxMs, canKeepSecrets, nowMs }: DestinationRules,
): ParsedDestination {
  const { concurrency, rate, timeout } = fields;
  const headers = parseHeaders(fields);
  const given: Partial<DestinationContent> = {
    ...(concurrency === undefined ? {} : { concurrencyMax: orNull(concurrency, parseConcurrency) }),
    ...(rate === undefined ? {} : { rate: orNull(rate, parseRate) }),
    ...(timeout === undefined
      ? {}
      : { timeoutMs: orNull(timeout, (value) => parseTimeout(value, timeoutMaxMs)) }),
    ...(headers === undefined ? {} : { headers }),
  };
  const tls =
    fields.tls === undefined ? undefined : orNull(fields.tls, (value) => parseTls(value, nowMs()));
  if (tls !== undefined && tls !== null && !canKeepSecrets) {
    throw new BelfryError('secrets_not_configured', `tls ${secretsNotConfigured}`, {
      fields: [{ field: 'tls', message: secretsNotConfigured }],
    });
  }
  const { headers: givenHeaders, ...plain } = given;
  return {
    edit(base, before) {
      const content = { ...base, ...given };
      if (givenHeaders === undefined) return { content, tls };
      const kept = keepSecretHeaders(givenHeaders, before?.headers ?? null);
      checkSecretHeaders(kept, canKeepSecrets);
      return { content: { ...content, headers: kept }, tls };
    },
    secretUses: secretUsesOf({ headers: givenHeaders }),
    detail: {
      ...plain,
      ...(givenHeaders === undefined ? {} : { headers: Object.keys(givenHeaders ?? {}) }),
      ...(tls === undefined ? {} : { tls: tls?.shown ?? null }),
    },
  };
}

function orNull<Value>(value: unknown, parse: (value: unknown) => Value): Value | null {
  return value === null ? null : parse(value);
}

/** Undefined when nothing is said of them. */
function parseHeaders({ headers, secret_headers: secretNames }: DestinationFields) {
  if (headers === undefined) {
    if (secretNames === undefined) return undefined;
    throw invalidField('secret_headers', 'must go with headers');
  }
  return markSecretHeaders(headers === null ? null : parseRequestHeaders(headers), secretNames);
}

function parseConcurrency(value: unknown): number {
  return whole('concurrency', value, concurrencyBound);
}

function parseRate(value: unknown): DestinationRate {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField('rate', 'must be an object of count and per, or null for none');
  }
  const given = new Map<string, unknown>(Object.entries(value));
  for (const name of given.keys()) {
    if (name !== 'count' && name !== 'per') {
      throw invalidField(`rate.${name.slice(0, 80)}`, 'is not one of count, per');
    }
  }
  const per = given.get('per');
  if (!isSpan(per)) {
    throw invalidField('rate.per', `must be one of ${Object.keys(rateSpans).join(', ')}`);
  }
  return { count: whole('rate.count', given.get('count'), rateCountMax), per };
}

function isSpan(value: unknown): value is DestinationRate['per'] {
  return typeof value === 'string' && Object.hasOwn(rateSpans, value);
}

function whole(field: string, value: unknown, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max) {
    return value;
  }
  throw invalidField(field, `must be a whole number from 1 to ${max}`);
}

/** As the API shows it: schemas/destination.ts, DestinationBody. */
export function destinationBody(destination: Destination) {
  const { headers, secretNames } = shownHeaders(destination.headers);
  const { rate, timeoutMs, tls } = destination;
  return {
    pattern: destination.pattern,
    version: destination.version,
    concurrency: destination.concurrencyMax,
    rate: rate === null ? null : { count: rate.count, per: rate.per },
    timeout: timeoutMs === null ? null : timeoutMs / 1_000,
    headers,
    secret_headers: [...secretNames],
    tls:
      tls === null
        ? null
        : {
            certificate: tls.certificate === null ? null : certificateBody(tls.certificate),
            ca: tls.authorities.map(certificateBody),
          },
    is_paused: destination.isPaused,
    created_at: instantText(destination.createdAtMs),
    changed_at: instantText(destination.changedAtMs),
  };
}

function certificateBody({ subject, fingerprint, expiresAtMs }: ShownCertificate) {
  return { subject, fingerprint, expires_at: instantText(expiresAtMs) };
}
