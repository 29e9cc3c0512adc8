import { isIP } from 'node:net';
import { wholeNumber, type SettingParser } from './settingParsers.ts';

/** Ports from `first` to `last`, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

const port = wholeNumber(1, 65_535);

/** Ports and ranges of them, separated by commas: "443,8000-8999". */
export const portList: SettingParser<readonly PortRange[]> = {
  takes: 'a comma-separated list of ports and ranges of ports, such as "443,8000-8999"',
  parse(text) {
    const ranges = text.split(',').map((entry) => {
      const [firstText = '', lastText = firstText, ...rest] = entry.trim().split('-');
      const [first, last] = [port.parse(firstText), port.parse(lastText)];
      const isRange = first !== undefined && last !== undefined && first <= last;
      return isRange && rest.length === 0 ? { first, last } : undefined;
    });
    return ranges.includes(undefined) ? undefined : ranges.filter((range) => range !== undefined);
  },
};

/** The prefix of a NAT64 gateway (RFC 6052), of 96 bits: the IPv4 address is what follows. */
export const nat64Prefix: SettingParser<string> = {
  takes: 'an IPv6 prefix of 96 bits, such as "64:ff9b::/96"',
  parse(text) {
    const [, network = ''] = /^([0-9a-f:.]+)\/96$/i.exec(text) ?? [];
    return isIP(network) === 6 ? network : undefined;
  },
};

/** Name servers, as node:dns takes them. */
export const nameServers: SettingParser<readonly string[]> = {
  takes: 'a comma-separated list of addresses, or address:port (IPv6 as [::1]:53)',
  parse(text) {
    const servers = text.split(',').map((entry) => entry.trim());
    return servers.every(isNameServer) ? servers : undefined;
  },
};

function isNameServer(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const [, bracketed = '', plain = '', portText = '53'] =
    /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(text) ?? [];
  return (isIP(bracketed) === 6 || isIP(plain) === 4) && port.parse(portText) !== undefined;
}

/** An HTTP proxy that makes connections on demand (CONNECT, RFC 9110 9.3.6). */
export interface EgressProxy {
  readonly host: string;
  readonly port: number;
  /** The value of Proxy-Authorization; undefined for a proxy that asks for none. */
  readonly authorization: string | undefined;
}

export const egressProxy: SettingParser<EgressProxy> = {
  takes: 'a URL such as "http://proxy.example.com:3128" or "http://user:password@10.0.0.1:3128"',
  parse(text) {
    if (!/^http:\/\/[^/?#]+\/?$/i.test(text) || !URL.canParse(text)) return undefined;
    const { hostname, port: portText, username, password } = new URL(text);
    if (hostname === '' || portText === '0') return undefined;
    const isOpen = username === '' && password === '';
    const credentials = decoded(`${username}:${password}`);
    if (credentials === undefined) return undefined;
    return {
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(portText) || 80,
      authorization: isOpen ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`,
    };
  },
};

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
