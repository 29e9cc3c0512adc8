import { invalidField } from './errors.ts';

/** Which hosts are meant. */
export interface HostFilter {
  /** In lower case, without a port: stands somewhere in the URL, which is quickly told. */
  readonly host: string;
  /** A regular expression for the whole truth, in what JavaScript and PostgreSQL have in common. */
  readonly pattern: string;
}

const takes =
  'must be a host, or host:port, as it stands in the url: "example.com", "example.com:8443", "[::1]:80"';
// eslint-disable-next-line no-control-regex
const hostAndPort = /^(\[[0-9a-f:.]+\]|[^\u0000-\u0020\u007f/?#@\\:[\]]+)(?::([1-9]\d{0,4}))?$/;

/**
 * Reads a host filter. A host alone stands for all its ports; with a port it also finds URLs that
 * leave it out because it is their scheme's. Hosts are compared as they were written, whatever their
 * case, not as a URL parser would normalise them.
 * @throws BelfryError `validation_failed` that names the field.
 */
export function parseHostFilter(field: string, value: unknown): HostFilter {
  if (typeof value !== 'string' || value.length > 300 || !value.isWellFormed()) {
    throw invalidField(field, takes);
  }
  const [, host, port] = hostAndPort.exec(asciiLower(value)) ?? [];
  if (host === undefined || Number(port ?? 1) > 65_535) throw invalidField(field, takes);
  return { host, pattern: `^${originPattern(host, port)}([/?#]|$)` };
}

export function matchesHost(url: string, { host, pattern }: HostFilter): boolean {
  return asciiLower(url).includes(host) && new RegExp(pattern, 'i').test(url);
}

function originPattern(host: string, port: string | undefined): string {
  const literal = host.replace(/[^a-z0-9-]/g, (character) =>
    // Anything else that is ASCII means itself behind a backslash, in both dialects.
    character < '\u0080' ? `\\${character}` : character,
  );
  if (port === undefined) return `https?://${literal}(:[0-9]*)?`;
  if (port === '80') return `(http://${literal}(:80)?|https://${literal}:80)`;
  if (port === '443') return `(https://${literal}(:443)?|http://${literal}:443)`;
  return `https?://${literal}:${port}`;
}

function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
