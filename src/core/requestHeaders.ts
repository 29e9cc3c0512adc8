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
 * (RFC 9110 7.6.1, RFC 9112), what says where it goes or on whose behalf it came (receivers believe
 * that of what stands before them), what no client sends any more, and what Belfry itself says.
 */
const reservedNames = new Set([
  'connection',
  'content-length',
  'cookie2',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-host',
  'x-original-host',
  'x-original-url',
  'x-real-ip',
  'x-rewrite-url',
  'true-client-ip',
  'cf-connecting-ip',
  'x-forwarded',
]);
const reservedPrefixes = ['webhook-', 'belfry-', 'proxy-', 'x-forwarded-'];

/** CGI and its heirs take an underscore for a hyphen: `content_length` would become the other. */
function isReserved(lowerName: string): boolean {
  const name = lowerName.replaceAll('_', '-');
  return reservedNames.has(name) || reservedPrefixes.some((prefix) => name.startsWith(prefix));
}

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
    if (isReserved(lowerName)) {
      throw invalidField(field, 'is a header that callers may not set');
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
