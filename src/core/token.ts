import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** A token's text is `bel_`, its id, `_`, and a secret of 256 bits. */
export interface TokenParts {
  readonly id: string;
  /** SHA-256 of the secret: all that is kept of it. */
  readonly secretHash: Buffer;
}

const idLength = 16;
const form = /^bel_([0-9a-f]{16})_([\w-]{43})$/;

/** Makes a token; its text is shown once and kept nowhere. */
export function newToken(): TokenParts & { readonly text: string } {
  const id = randomBytes(idLength / 2).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  return { id, secretHash: hashOf(secret), text: `bel_${id}_${secret}` };
}

/** Undefined for what is no token at all. */
export function parseToken(text: string): TokenParts | undefined {
  const [, id, secret] = form.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secretHash: hashOf(secret) };
}

/** In a time that tells nothing of either. */
export function isSameHash(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

// One pass of a fast hash is right for 256 random bits: there is nothing to guess.
function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}
