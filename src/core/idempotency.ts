import { createHash } from 'node:crypto';
import { invalidField } from './errors.ts';
import { jsonText } from './jsonText.ts';

/** Under which a caller may send the same request again and get the same answer. */
export interface IdempotencyKey {
  readonly key: string;
  /** SHA-256 of what the request says. */
  readonly fingerprint: Buffer;
}

export const keyLengthMax = 255;

/**
 * Reads the header `Idempotency-Key`: visible ASCII, bare or as a quoted string (the IETF draft
 * draft-ietf-httpapi-idempotency-key-header has it quoted). Null when it is not given.
 * @throws BelfryError `validation_failed` that names the header.
 */
export function parseIdempotencyKey(
  header: string | undefined,
  request: unknown,
): IdempotencyKey | null {
  if (header === undefined) return null;
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  if (!/^[\u0021-\u007e]+$/.test(key) || key.length > keyLengthMax) {
    throw invalidField(
      'Idempotency-Key',
      `must be 1 to ${keyLengthMax} visible ASCII characters, bare or in double quotes`,
    );
  }
  const text = jsonText('body', request, { sorted: true });
  return { key, fingerprint: createHash('sha256').update(text).digest() };
}
