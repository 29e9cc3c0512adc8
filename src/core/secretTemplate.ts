import { invalidField } from './errors.ts';
import { SecretHeader, type PlainHeader, type TimerHeaders } from './secretHeaders.ts';

/**
 * Late-bound secrets: `{{secret:name}}` in a header's value, or in the path or query of the URL, stands
 * for what the project's secret of that name is at each attempt. Any other `{{` is text like all text.
 */
const mark = '{{secret:';
const use = /\{\{secret:([^{}]*)\}\}/g;
const namePattern = /^[a-z][a-z0-9_-]{0,63}$/;

export const secretNamePattern = namePattern.source;
export const secretLengthMax = 8_192;
/** Uses of secrets in a timer: bounds what an attempt can grow to. */
export const secretUsesMax = 20;

/** Where a request says the name of a secret. */
export interface SecretUse {
  /** `url` or `headers.<name>`. */
  readonly field: string;
  readonly name: string;
}

export function isSecretName(text: string): boolean {
  return namePattern.test(text);
}

/**
 * The value of a secret: 1 to 8,192 characters that may stand in a header.
 * @throws BelfryError `validation_failed` that names `value`.
 */
export function parseSecretValue(value: unknown): string {
  const isOne =
    typeof value === 'string' &&
    value.length >= 1 &&
    value.length <= secretLengthMax &&
    isHeaderText(value);
  if (!isOne) {
    throw invalidField(
      'value',
      `must be a string of 1 to ${secretLengthMax} Latin-1 characters without line breaks and other controls`,
    );
  }
  return value;
}

/** Whether it may be a header's value (RFC 9110 5.5). */
export function isHeaderText(text: string): boolean {
  // eslint-disable-next-line no-control-regex
  return /^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(text);
}

/**
 * All uses in what is given of a request.
 * @throws BelfryError `validation_failed` for one in the URL's scheme, host or port, one of what is no
 *   name, and too many.
 */
export function secretUsesOf(given: {
  readonly url?: string | undefined;
  readonly headers?: TimerHeaders | null | undefined;
}): readonly SecretUse[] {
  const uses: SecretUse[] = [];
  // Nothing here copies headers: most timers use no secret.
  if (given.url?.includes(mark) === true) {
    if (placesOf(given.url).origin.includes(mark)) {
      throw invalidField('url', 'must not hold a secret before its path');
    }
    addUses(uses, 'url', given.url);
  }
  for (const name in given.headers) {
    const value = given.headers[name];
    if (value === undefined) continue;
    const plain = value instanceof SecretHeader ? value.reveal() : value;
    if (typeof plain === 'string') addUses(uses, `headers.${name}`, plain);
    else if (!('sealed' in plain)) {
      for (const single of plain) addUses(uses, `headers.${name}`, single);
    }
  }
  if (uses.length > secretUsesMax) {
    throw invalidField(
      uses.at(-1)?.field ?? 'url',
      `has one secret too many: a timer takes ${secretUsesMax}`,
    );
  }
  return uses;
}

function addUses(uses: SecretUse[], field: string, text: string): void {
  if (!text.includes(mark)) return;
  for (const [, name = ''] of text.matchAll(use)) {
    if (!isSecretName(name)) {
      throw invalidField(
        field,
        `has "${name.slice(0, 80)}" for the name of a secret, which takes ${namePattern.source}`,
      );
    }
    uses.push({ field, name });
  }
}

/** Whether a text may hold a secret. Costs no more than looking for a word. */
export function mayUseSecrets(text: string): boolean {
  return text.includes(mark);
}

/** The names in plain headers and a URL, each once. */
export function secretNamesIn(url: string, headers: Readonly<Record<string, PlainHeader>> | null) {
  const names = new Set<string>();
  const texts = [url, ...Object.values(headers ?? {}).flat()];
  for (const text of texts) {
    if (!text.includes(mark)) continue;
    for (const [, name = ''] of text.matchAll(use)) if (isSecretName(name)) names.add(name);
  }
  return names;
}

type Values = ReadonlyMap<string, string>;

/** @throws Error for a name without a value: `secretNamesIn` says which there have to be. */
export function resolveHeaders(
  headers: Readonly<Record<string, PlainHeader>>,
  values: Values,
): Record<string, PlainHeader> {
  const resolved = Object.entries(headers).map(([name, value]) => [
    name,
    typeof value === 'string'
      ? resolveText(value, values)
      : value.map((single) => resolveText(single, values)),
  ]);
  return Object.fromEntries(resolved);
}

/**
 * In the path a value keeps its slashes and nothing else that would end it, in the query not even
 * these: the rest is percent-encoded (RFC 3986), so it can be no more than what it stands for.
 */
export function resolveUrl(url: string, values: Values): string {
  if (!url.includes(mark)) return url;
  const { origin, path, rest } = placesOf(url);
  const inPath = (value: string) => value.split('/').map(encodeURIComponent).join('/');
  return origin + resolveText(path, values, inPath) + resolveText(rest, values, encodeURIComponent);
}

function resolveText(
  text: string,
  values: Values,
  encode: (value: string) => string = (value) => value,
): string {
  if (!text.includes(mark)) return text;
  return text.replaceAll(use, (whole, name: string) => {
    if (!isSecretName(name)) return whole;
    const value = values.get(name);
    if (value === undefined) throw new Error(`there is no value of the secret ${name}`);
    return encode(value);
  });
}

/** The three join to the URL. */
function placesOf(url: string): { origin: string; path: string; rest: string } {
  const [origin = ''] = /^[a-z]+:\/\/[^/?#]*/i.exec(url) ?? [];
  const [path = ''] = /^[^?#]*/.exec(url.slice(origin.length)) ?? [];
  return { origin, path, rest: url.slice(origin.length + path.length) };
}
