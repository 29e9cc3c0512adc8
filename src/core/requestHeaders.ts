import { invalidField } from './errors.ts';
import type { PlainHeader } from './secretHeaders.ts';

type RequestHeaders = Readonly<Record<string, PlainHeader>> | null;

/** Bounds of a timer's own headers: values in all, and bytes of names and values. */
export const headerValuesMax = 50;
export const headerBytesMax = 8 * 1024;

// RFC 9110: token. The value: visible ASCII, blanks and tabs, obs-text; no CR, LF, NUL or other control.
const token = /^[!#$%&'*+.^_`|~0-9a-z-]+$/i;
// eslint-disable-next-line no-control-regex
const fieldValue = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;

/**
 * Names that are not a caller's to set: what frames the message or belongs to one connection
 * (RFC 9110 7.6.1, RFC 9112), what says where it goes, and what Belfry itself says.
 */
const reservedNames = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const reservedPrefixes = ['webhook-', 'belfry-', 'proxy-'];

/**
 * Checks the `headers` of a timer: an object of name → text, or a list of texts for a header that is
 * sent several times. Null for none.
 * @throws BelfryError `validation_failed` that names `headers` or `headers.<name>`.
 */
export function parseRequestHeaders(value: unknown): RequestHeaders {
  if (value === undefined) return null;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField('headers', 'must be an object of header names and their values');
  }
  const headers: Record<string, string | readonly string[]> = {};
  const seen = new Set<string>();
  let values = 0;
  let bytes = 0;
  for (const [name, given] of Object.entries(value)) {
    const field = `headers.${name.slice(0, 80)}`;
    const lowerName = name.toLowerCase();
    if (!token.test(name)) throw invalidField(field, 'is not a header name');
    if (reservedNames.has(lowerName) || reservedPrefixes.some((at) => lowerName.startsWith(at))) {
      throw invalidField(field, 'is a header that Belfry sets itself');
    }
    if (seen.has(lowerName)) throw invalidField(field, 'is given twice: use a list of values');
    seen.add(lowerName);
    const list: readonly unknown[] = Array.isArray(given) ? given : [given];
    for (const single of list) {
      if (typeof single !== 'string' || !fieldValue.test(single)) {
        throw invalidField(
          field,
          'must be a string, or a list of strings, of Latin-1 characters without line breaks and other controls',
        );
      }
      values += 1;
      bytes += name.length + single.length;
    }
    headers[lowerName] = Array.isArray(given) ? list.map(String) : String(given);
  }
  if (values > headerValuesMax) {
    throw invalidField('headers', `must be at most ${headerValuesMax} values in all`);
  }
  if (bytes > headerBytesMax) {
    throw invalidField('headers', `must be at most ${headerBytesMax} bytes in all`);
  }
  return seen.size === 0 ? null : headers;
}
