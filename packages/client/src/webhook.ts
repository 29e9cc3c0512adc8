/** The headers of a request: a `Headers` of any make, or an object of names in any case (as Node's are). */
export type WebhookHeaders = HeaderReader | NamedHeaders;

/** What every `Headers` has. The runtime's own is not the only one: undici and other realms bring theirs. */
interface HeaderReader {
  get(name: string): string | null | undefined;
}
type NamedHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** How far the timestamp may be from now, either way. Default 300. */
  readonly toleranceSeconds?: number;
  /** Now, in milliseconds of the Unix epoch. */
  readonly nowMs?: number;
}

/** A request whose signature holds. */
export interface VerifiedWebhook {
  /** The same for every attempt of a timer: drop what you have seen already. */
  readonly id: string;
  /** When it was sent. */
  readonly timestamp: Date;
}

/** Why a request must not be trusted. */
export type WebhookRefusal =
  | 'missing_header'
  | 'invalid_timestamp'
  | 'timestamp_too_old'
  | 'timestamp_in_future'
  | 'no_matching_signature';

/** The request must not be trusted: answer it with 400 or 401. */
export class WebhookVerificationError extends Error {
  override readonly name = 'WebhookVerificationError';
  readonly reason: WebhookRefusal;

  constructor(reason: WebhookRefusal, message: string) {
    super(message);
    this.reason = reason;
  }
}

const toleranceDefaultSeconds = 300;
const secretPrefix = 'whsec_';

/**
 * Checks the signature of a request by the Standard Webhooks specification
 * (https://github.com/standard-webhooks/standard-webhooks): HMAC-SHA256 over
 * `<webhook-id>.<webhook-timestamp>.<body>`, as `v1,<base64>` in `webhook-signature`.
 *
 * `secrets`: `whsec_` and base64 (the prefix may be left out); several while they are being rotated.
 * `rawBody`: exactly what arrived. JSON that was parsed and written again is not that.
 * @throws WebhookVerificationError when it must not be trusted; TypeError for a secret that is none.
 */
export async function verifyWebhook(
  secrets: string | readonly string[],
  headers: WebhookHeaders,
  rawBody: string | Uint8Array | ArrayBuffer,
  { toleranceSeconds = toleranceDefaultSeconds, nowMs = Date.now() }: VerifyOptions = {},
): Promise<VerifiedWebhook> {
  const keys = (typeof secrets === 'string' ? [secrets] : secrets).map(keyBytes);
  if (keys.length === 0) throw new TypeError('at least one secret is needed');
  const id = headerOf(headers, 'webhook-id');
  const timestamp = headerOf(headers, 'webhook-timestamp');
  const seconds = checkedTimestamp(timestamp, toleranceSeconds, nowMs);
  const signatures = headerOf(headers, 'webhook-signature').split(' ').map(signatureBytes);
  const signed = joined(`${id}.${timestamp}.`, rawBody);

  let isSigned = false;
  for (const key of keys) {
    const imported = await crypto.subtle.importKey('raw', key, algorithm, false, ['verify']);
    for (const signature of signatures) {
      if (signature === undefined) continue;
      // `verify` compares in constant time, whatever the runtime.
      if (await crypto.subtle.verify('HMAC', imported, signature, signed)) isSigned = true;
    }
  }
  if (!isSigned) {
    throw new WebhookVerificationError('no_matching_signature', 'no signature matches a secret');
  }
  return { id, timestamp: new Date(seconds * 1_000) };
}

const algorithm = { name: 'HMAC', hash: 'SHA-256' } as const;

function headerOf(headers: WebhookHeaders, name: string): string {
  const value = isReader(headers) ? headers.get(name) : ownHeader(headers, name);
  if (value === null || value === undefined || value === '') {
    throw new WebhookVerificationError('missing_header', `the request has no ${name}`);
  }
  return typeof value === 'string' ? value : value.join(' ');
}

function isReader(headers: WebhookHeaders): headers is HeaderReader {
  return typeof headers.get === 'function';
}

function ownHeader(headers: NamedHeaders, name: string) {
  return Object.entries(headers).find(([given]) => given.toLowerCase() === name)?.[1];
}

function checkedTimestamp(text: string, toleranceSeconds: number, nowMs: number): number {
  const seconds = /^\d{1,12}$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(seconds)) {
    throw new WebhookVerificationError('invalid_timestamp', 'webhook-timestamp is not in seconds');
  }
  const ageSeconds = nowMs / 1_000 - seconds;
  if (ageSeconds > toleranceSeconds) {
    throw new WebhookVerificationError('timestamp_too_old', 'it was sent too long ago');
  }
  if (ageSeconds < -toleranceSeconds) {
    throw new WebhookVerificationError('timestamp_in_future', 'it was sent in the future');
  }
  return seconds;
}

function keyBytes(secret: string): Uint8Array<ArrayBuffer> {
  const text = secret.startsWith(secretPrefix) ? secret.slice(secretPrefix.length) : secret;
  const bytes = base64Bytes(text);
  // With an empty key anybody could sign.
  if (bytes === undefined || bytes.length === 0) {
    throw new TypeError(`a webhook secret is ${secretPrefix} and base64`);
  }
  return bytes;
}

/** Undefined for what is no signature of version 1: other versions are not ours to judge. */
function signatureBytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  const [version, base64 = ''] = text.split(',');
  return version === 'v1' ? base64Bytes(base64) : undefined;
}

function base64Bytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function joined(head: string, body: string | Uint8Array | ArrayBuffer): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const start = encoder.encode(head);
  let end: Uint8Array;
  if (typeof body === 'string') end = encoder.encode(body);
  else end = body instanceof Uint8Array ? body : new Uint8Array(body);
  const bytes = new Uint8Array(start.length + end.length);
  bytes.set(start);
  bytes.set(end, start.length);
  return bytes;
}
