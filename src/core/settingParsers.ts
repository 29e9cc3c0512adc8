import { isIP } from 'node:net';
import { parseSecretKeys, type SecretKey } from './secretBox.ts';

/** How a setting's text becomes a value. `takes` completes "NAME must be …". */
export interface SettingParser<Value> {
  readonly takes: string;
  /** Undefined when the text is not what the setting takes. */
  parse(text: string): Value | undefined;
}

export function wholeNumber(min: number, max: number): SettingParser<number> {
  return {
    takes: `a whole number from ${min} to ${max}`,
    parse(text) {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
      return value >= min && value <= max ? value : undefined;
    },
  };
}

export function decimal(min: number, max: number, unit = ''): SettingParser<number> {
  const upper = max === Infinity ? ' or more' : ` to ${max}`;
  return {
    takes: `a number${unit === '' ? '' : ` of ${unit}`} from ${min}${upper}`,
    parse(text) {
      const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
      return value >= min && value <= max && Number.isFinite(value) ? value : undefined;
    },
  };
}

/** What the other takes, or the word "forever", which is Infinity. */
export function orForever(parser: SettingParser<number>): SettingParser<number> {
  return {
    takes: `${parser.takes}, or "forever"`,
    parse: (text) => (text.toLowerCase() === 'forever' ? Infinity : parser.parse(text)),
  };
}

const booleans = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
]);

export const trueOrFalse: SettingParser<boolean> = {
  takes: '"true" or "false"',
  parse: (text) => booleans.get(text.toLowerCase()),
};

export function oneOf<const Value extends string>(values: readonly Value[]): SettingParser<Value> {
  return {
    takes: `one of ${values.join(', ')}`,
    parse: (text) => values.find((value) => value === text.toLowerCase()),
  };
}

export function listOf<const Value extends string>(
  values: readonly Value[],
): SettingParser<readonly Value[]> {
  const single = oneOf(values);
  return {
    takes: `a comma-separated list of ${values.join(', ')}`,
    parse(text) {
      const items = text.split(',').map((item) => single.parse(item.trim()));
      return items.includes(undefined) ? undefined : items.filter((item) => item !== undefined);
    },
  };
}

export const anyText: SettingParser<string> = {
  takes: 'a text that is not empty',
  parse: (text) => (text === '' ? undefined : text),
};

/** A name that PostgreSQL takes without quotes. */
export const databaseName: SettingParser<string> = {
  takes:
    'a name of up to 63 lower-case letters, digits and underscores, not beginning with a digit',
  parse: (text) => (/^[a-z_][a-z0-9_]{0,62}$/.test(text) ? text : undefined),
};

export const secretKeys: SettingParser<readonly SecretKey[]> = {
  takes:
    'id:key, several with commas or on lines of their own: ids of 1 to 16 of a-z, 0-9, _ and -, each key 32 bytes in base64 (openssl rand -base64 32)',
  parse: parseSecretKeys,
};

export const postgresUrl: SettingParser<string> = {
  takes: 'a URL such as "postgres://user:password@host:5432/database"',
  parse: (text) =>
    /^postgres(?:ql)?:\/\//.test(text) && URL.canParse(text.replace(/^[a-z]+:\/\/\//, 'http://x/'))
      ? text
      : undefined,
};

export const hostName: SettingParser<string> = {
  takes: 'a host name or address, such as "timers.example.com"',
  parse(text) {
    const host = text.toLowerCase();
    return isIP(host) !== 0 || isHostName(host) ? host : undefined;
  },
};

/** Where a database listens: a host name, an address, or the directory of a Unix socket. */
export const databaseHost: SettingParser<string> = {
  takes: 'a host name, an address, or the directory of a Unix socket',
  parse: (text) => (/^\/[^\0]*$/.test(text) ? text : hostName.parse(text)),
};

/**
 * An entry of ALLOW_TARGETS or DENY_TARGETS: a host name or address, with or without a port, or a
 * range. `*.example.com` is every name below example.com.
 */
export type TargetEntry =
  | { readonly kind: 'host'; readonly host: string; readonly port: number | undefined }
  | { readonly kind: 'range'; readonly network: string; readonly prefix: number };

/** Hosts, host:port and CIDR ranges, separated by commas; empty for none. */
export const targetList: SettingParser<readonly TargetEntry[]> = {
  takes:
    'a comma-separated list of host names (*.example.com for all below it), addresses, host:port (IPv6 as [::1]:80) or CIDR ranges; empty for none',
  parse(text) {
    const entries = text
      .split(',')
      .map((entry) => entry.trim().toLowerCase())
      .filter((entry) => entry !== '')
      .map(parseTarget);
    return entries.includes(undefined) ? undefined : entries.filter((entry) => entry !== undefined);
  },
};

function parseTarget(text: string): TargetEntry | undefined {
  const range = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(text);
  if (range !== null) {
    const [, network = '', prefixText = ''] = range;
    const prefix = Number(prefixText);
    const bits = { 0: -1, 4: 32, 6: 128 }[isIP(network)] ?? -1;
    return prefix <= bits ? { kind: 'range', network, prefix } : undefined;
  }
  if (isIP(text) !== 0) return { kind: 'host', host: canonical(text), port: undefined };
  const [, bracketed, plain, portText] =
    /^(?:\[([0-9a-f.:]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = portText === undefined ? undefined : Number(portText);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65_535))) return undefined;
  return isIP(host) !== 0 || isHostName(host.replace(/^\*\./, ''))
    ? { kind: 'host', host: canonical(host), port }
    : undefined;
}

/** IPv6 addresses as URLs spell them: the same address has many spellings. */
function canonical(host: string): string {
  return isIP(host) === 6 && !host.includes('%')
    ? new URL(`http://[${host}]/`).hostname.slice(1, -1)
    : host;
}

function isHostName(text: string): boolean {
  return (
    text.length <= 253 &&
    /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/.test(text) &&
    !/^[0-9.]+$/.test(text)
  );
}

export const httpUrl: SettingParser<string> = {
  takes: 'a URL that begins with http:// or https://',
  parse: (text) => (/^https?:\/\/[^/]/i.test(text) && URL.canParse(text) ? text : undefined),
};
