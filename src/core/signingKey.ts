import { randomBytes } from 'node:crypto';
import { everyDestination, parseDestinationPattern } from './destinationPattern.ts';
import { BelfryError, invalidField } from './errors.ts';
import type { SecretPlace } from './secretBox.ts';
import { newSigningSecret, parseSigningSecret, type SignatureScheme } from './webhookSignature.ts';

export const signatureSchemes = ['v1', 'v1a'] as const satisfies readonly SignatureScheme[];

/** Live keys of a pattern of destinations: each adds 48 (`v1`) or 93 (`v1a`) bytes to the header of every attempt. */
export const signingKeysMax = 5;

/** Patterns of a project that have keys, beside that of all destinations. */
export const signingKeyDestinationsMax = 200;

export const signingKeyIdPattern = '^[0-9a-f]{16}$';

/** How long the old key signs along after a rotation, unless the caller says otherwise: a day. */
export const overlapDefaultMs = 86_400_000;

/** A signing key to be made. */
export interface NewSigningKey {
  readonly id: string;
  /** A pattern of destinations: it signs what goes there, unless a more specific pattern has keys. */
  readonly destination: string;
  readonly scheme: SignatureScheme;
  /** `whsec_` or `whsk_` and base64. */
  readonly secret: string;
  /** `whpk_` and base64 of `v1a`; null of `v1`. */
  readonly publicText: string | null;
}

/**
 * The key that a caller wants: their own `secret`, or a new one of `scheme` (default: that of the
 * secret, or `v1`), for `destination` (default: all).
 * @throws BelfryError `validation_failed` that names the field, and never tells the secret.
 */
export function parseSigningKeyWish(fields: {
  readonly destination?: unknown;
  readonly scheme?: unknown;
  readonly secret?: unknown;
}): NewSigningKey {
  const { destination: wanted = everyDestination } = fields;
  const destination = parseDestinationPattern('destination', wanted);
  const scheme =
    fields.scheme === undefined
      ? undefined
      : signatureSchemes.find((known) => known === fields.scheme);
  if (fields.scheme !== undefined && scheme === undefined) {
    throw invalidField('scheme', `must be one of ${signatureSchemes.join(', ')}`);
  }
  const secret = fields.secret ?? newSigningSecret(scheme ?? 'v1');
  const key = typeof secret === 'string' ? parseSigningSecret(secret) : undefined;
  if (typeof secret !== 'string' || key === undefined) {
    throw invalidField(
      'secret',
      'must be whsec_ and base64 of 24 to 64 bytes, or whsk_ and base64 of 32 bytes (or 64, with the public half behind)',
    );
  }
  if (scheme !== undefined && scheme !== key.scheme) {
    throw invalidField('secret', `must be of the scheme ${scheme}`);
  }
  const id = randomBytes(8).toString('hex');
  const publicText = key.scheme === 'v1a' ? key.publicText : null;
  return { id, destination, scheme: key.scheme, secret, publicText };
}

export function isSigningKeyId(text: string): boolean {
  return /^[0-9a-f]{16}$/.test(text);
}

/** What the record of a signing key is bound to. */
export function signingKeyPlace(projectId: number, id: string): SecretPlace {
  return { purpose: 'signing', projectId, row: [id] };
}

/** A `quota_exceeded` error: of the destination of a key that was wanted, `live` have not retired. */
export function tooManySigningKeys(destination: string, live: number): BelfryError {
  const isOfKeys = live > 0 || destination === everyDestination;
  const limit = isOfKeys ? signingKeysMax : signingKeyDestinationsMax;
  const most = isOfKeys
    ? `destination ${destination} may have at most ${limit} signing keys that are not retired`
    : `the project may have signing keys of at most ${limit} destinations`;
  return new BelfryError('quota_exceeded', `${most}: delete one first`, {
    quota: { quota: isOfKeys ? 'signing_keys' : 'signing_key_destinations', limit, used: limit },
  });
}
