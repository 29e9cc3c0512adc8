import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  randomBytes,
  sign,
  type KeyObject,
} from 'node:crypto';

/**
 * Signatures of the Standard Webhooks specification
 * (https://github.com/standard-webhooks/standard-webhooks): over
 * `<webhook-id>.<webhook-timestamp>.<body>`, `v1` by HMAC-SHA256 with a secret that the receiver has
 * as well, `v1a` by Ed25519 (RFC 8032), so that receivers need the public key only.
 */
export type SignatureScheme = 'v1' | 'v1a';

/** What signs. Its text is `whsec_` (v1) or `whsk_` (v1a) and base64. */
export type SigningKey =
  | {
      readonly scheme: 'v1';
      /** Not the bytes, which `createHmac` would check each time: 4 µs a signature against 32. */
      readonly secret: KeyObject;
    }
  | {
      readonly scheme: 'v1a';
      readonly privateKey: KeyObject;
      /** `whpk_` and base64 of 32 bytes: what receivers verify with. */
      readonly publicText: string;
    };

const prefixes: Readonly<Record<SignatureScheme, string>> = { v1: 'whsec_', v1a: 'whsk_' };
const secretBytesMin = 24;
const secretBytesMax = 64;
const seedBytes = 32;
/** Before the 32 bytes of an Ed25519 key in DER: PKCS #8 and SubjectPublicKeyInfo (RFC 8410). */
const privateDerHead = Buffer.from('302e020100300506032b657004220420', 'hex');
const publicDerHeadBytes = 12;

/** Makes a secret: 256 random bits. */
export function newSigningSecret(scheme: SignatureScheme): string {
  return prefixes[scheme] + randomBytes(seedBytes).toString('base64');
}

/**
 * Reads a secret's text: of `v1` 24 to 64 bytes, as the specification says; of `v1a` the 32 bytes of
 * the seed, with or without the public key behind them. Undefined for what is none.
 */
export function parseSigningSecret(text: string): SigningKey | undefined {
  if (text.startsWith(prefixes.v1a)) return privateKeyOf(base64(text.slice(prefixes.v1a.length)));
  if (!text.startsWith(prefixes.v1)) return undefined;
  const secret = base64(text.slice(prefixes.v1.length));
  if (secret === undefined) return undefined;
  if (secret.length < secretBytesMin || secret.length > secretBytesMax) return undefined;
  return { scheme: 'v1', secret: createSecretKey(secret) };
}

/** The value of `webhook-signature`: one signature a key, blanks between. */
export function webhookSignature(
  keys: readonly SigningKey[],
  message: { readonly id: string; readonly timestampSeconds: number; readonly body: Buffer | null },
): string {
  const head = `${message.id}.${message.timestampSeconds}.`;
  return keys.map((key) => `${key.scheme},${signatureOf(key, head, message.body)}`).join(' ');
}

function signatureOf(key: SigningKey, head: string, body: Buffer | null): string {
  if (key.scheme === 'v1') {
    const hmac = createHmac('sha256', key.secret).update(head);
    return (body === null ? hmac : hmac.update(body)).digest('base64');
  }
  const signed = Buffer.from(head);
  const message = body === null ? signed : Buffer.concat([signed, body]);
  return sign(null, message, key.privateKey).toString('base64');
}

function privateKeyOf(bytes: Buffer | undefined): SigningKey | undefined {
  if (bytes?.length !== seedBytes && bytes?.length !== 2 * seedBytes) return undefined;
  const der = Buffer.concat([privateDerHead, bytes.subarray(0, seedBytes)]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const publicBytes = publicKey.subarray(publicDerHeadBytes);
  // A public half that belongs to another key: the two were mixed up.
  if (bytes.length > seedBytes && !publicBytes.equals(bytes.subarray(seedBytes))) return undefined;
  return { scheme: 'v1a', privateKey, publicText: `whpk_${publicBytes.toString('base64')}` };
}

/** Strict: what Node's decoder would skip or cut off is a typing error. */
function base64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '')
    ? bytes
    : undefined;
}
