import { invalidField } from './errors.ts';

/** The ETag of what has versions (RFC 9110 8.8.3): its version. */
export function entityTag(version: number): string {
  return `"${version}"`;
}

/**
 * Reads `If-Match` (RFC 9110 13.1.1): the version that the timer must be of, null for any. One tag: a
 * timer never has several.
 * @throws BelfryError `validation_failed` that names the header.
 */
export function parseIfMatch(header: string | undefined): number | null {
  if (header === undefined || header.trim() === '*') return null;
  const version = /^"([1-9]\d{0,14})"$/.exec(header.trim())?.[1];
  if (version === undefined) {
    throw invalidField('If-Match', 'must be * or the ETag of an answer, such as "3"');
  }
  return Number(version);
}
