import { invalidField } from './errors.ts';
import { jsonText } from './jsonText.ts';

/** The ways of giving a body; at most one of them. */
export interface BodyFields {
  readonly body?: unknown;
  readonly body_base64?: unknown;
  readonly json?: unknown;
}

const ways = ['body', 'body_base64', 'json'] as const;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Reads the body that a timer sends: `body` is text (sent as UTF-8), `body_base64` any bytes
 * (RFC 4648, padded), `json` any JSON value, which also brings its media type along.
 * @throws BelfryError `validation_failed` that names the field.
 */
export function parseRequestBody(fields: BodyFields): {
  readonly body: Buffer | null;
  readonly contentType: string | null;
} {
  const [way, other] = ways.filter((name) => fields[name] !== undefined);
  if (other !== undefined) {
    throw invalidField(other, `cannot be combined with ${String(way)}: give one body`);
  }
  if (way === undefined) return { body: null, contentType: null };
  if (way === 'json') {
    return { body: Buffer.from(jsonText('json', fields.json)), contentType: 'application/json' };
  }
  const value = fields[way];
  if (way === 'body') {
    if (typeof value !== 'string' || !value.isWellFormed()) {
      throw invalidField('body', 'must be a string of well-formed Unicode');
    }
    return { body: Buffer.from(value), contentType: null };
  }
  if (typeof value !== 'string' || !base64.test(value)) {
    throw invalidField('body_base64', 'must be a string of padded base64 (RFC 4648)');
  }
  return { body: Buffer.from(value, 'base64'), contentType: null };
}
