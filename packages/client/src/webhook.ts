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
const publicPrefix = 'whpk_';
const publicKeyBytes = 32;

/**
 * Checks the signature of a request by the Standard Webhooks specification
 * (https://github.com/standard-webhooks/standard-webhooks): over
 * `<webhook-id>.<webhook-timestamp>.<body>`, in `webhook-signature` as `v1,<base64>` (HMAC-SHA256) or
 * `v1a,<base64>` (Ed25519).
 *
 * `secrets`: `whsec_` and base64 (the prefix may be left out), or the published `whpk_` and base64 of
 * whoever signs with a private key; several while they are being rotated.
 * `rawBody`: exactly what arrived. JSON that was parsed and written again is not that.
 * @throws WebhookVerificationError when it must not be trusted; TypeError for a secret that is none.
 */
export async function verifyWebhook(
  secrets: string | readonly string[],
  headers: WebhookHeaders,
  rawBody: string | Uint8Array | ArrayBuffer,
  { toleranceSeconds = toleranceDefaultSeconds, nowMs = Date.now() }: VerifyOptions = {},
): Promise<VerifiedWebhook> {
  const keys = (typeof secrets === 'string' ? [secrets] : secrets).map(keyOf);
  if (keys.length === 0) throw new TypeError('at least one secret is needed');
  const id = headerOf(headers, 'webhook-id');
  const timestamp = headerOf(headers, 'webhook-timestamp');
  const seconds = checkedTimestamp(timestamp, toleranceSeconds, nowMs);
  const signatures = headerOf(headers, 'webhook-signature').split(' ').map(signatureOf);
  const signed = joined(`${id}.${timestamp}.`, rawBody);

  let isSigned = false;
  for (const { version, bytes } of keys) {
    const algorithm = algorithms[version];
    const key = await crypto.subtle.importKey('raw', bytes, algorithm, false, ['verify']);
    for (const signature of signatures) {
      if (signature?.version !== version || signature.bytes === undefined) continue;
      // `verify` compares in constant time, whatever the runtime.
      if (await crypto.subtle.verify(algorithm, key, signature.bytes, signed)) isSigned = true;
    }
  }
  if (!isSigned) {
    throw new WebhookVerificationError('no_matching_signature', 'no signature matches a secret');
  }
  return { id, timestamp: new Date(seconds * 1_000) };
}

const algorithms = { v1: { name: 'HMAC', hash: 'SHA-256' }, v1a: { name: 'Ed25519' } } as const;

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

interface Key {
  readonly version: keyof typeof algorithms;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

function keyOf(text: string): Key {
  if (text.startsWith(publicPrefix)) {
    const bytes = base64Bytes(text.slice(publicPrefix.length));
    if (bytes?.length === publicKeyBytes) return { version: 'v1a', bytes };
    throw new TypeError(`a public key is ${publicPrefix} and base64 of ${publicKeyBytes} bytes`);
  }
  const bytes = base64Bytes(text.startsWith(secretPrefix) ? text.slice(secretPrefix.length) : text);
  // With an empty key anybody could sign.
  if (bytes === undefined || bytes.length === 0) {
    throw new TypeError(`a webhook secret is ${secretPrefix} and base64`);
  }
  return { version: 'v1', bytes };
}

function signatureOf(text: string) {
  const [version, base64 = ''] = text.split(',');
  return { version, bytes: base64Bytes(base64) };
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
