import { BlockList, isIP } from 'node:net';
import type { AllowedTarget } from '../core/settingParsers.ts';

/**
 * Judges where deliveries may go. An address is allowed when an operator's entry has it, or when it
 * is ordinary public address space: for IPv4 all but the special-purpose ranges (IANA registry,
 * RFC 6890), for IPv6 only 2000::/3 less its special ranges.
 */
export interface AddressGuard {
  /**
   * Judges the host of a URL as far as it can be without a look-up: names of this machine, the
   * service's own domain, and addresses. Undefined means nothing against it; otherwise the reason.
   */
  judgeHost(host: string, port: number): string | undefined;
  /** Judges an address that a connection to `host` would go to. */
  judgeAddress(host: string, port: number, address: string): string | undefined;
}

const deniedIpv4: readonly [string, number][] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['168.63.129.16', 32],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];

const deniedIpv6: readonly [string, number][] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['2620:4f:8000::', 48],
  ['3fff::', 20],
];

export function createAddressGuard(options: {
  allowTargets: readonly AllowedTarget[];
  /** The service's own public host name, if it has one. */
  appDomain: string | undefined;
}): AddressGuard {
  const { allowTargets, appDomain } = options;
  const denied = blockListOf(deniedIpv4, deniedIpv6);
  const unicast = blockListOf([], [['2000::', 3]]);
  const allowedRanges = new BlockList();
  for (const target of allowTargets) {
    if (target.kind === 'range') {
      allowedRanges.addSubnet(target.network, target.prefix, familyOf(target.network));
    }
  }

  function isAllowedHost(host: string, port: number): boolean {
    return allowTargets.some(
      (target) =>
        target.kind === 'host' &&
        target.host === host &&
        (target.port === undefined || target.port === port),
    );
  }

  function judgeAddress(host: string, port: number, address: string): string | undefined {
    // An address on the list may also be reached by a name that leads to it.
    if (isAllowedHost(normalHost(host), port) || isAllowedHost(address, port)) return undefined;
    // Not an address, or one of a zone (fe80::1%2): neither is anything public.
    if (isIP(address) === 0 || address.includes('%')) return `${address} is not a public address`;
    const family = familyOf(address);
    if (allowedRanges.check(address, family)) return undefined;
    const isPublic =
      family === 'ipv4'
        ? !denied.check(address, 'ipv4')
        : unicast.check(address, 'ipv6') && !denied.check(address, 'ipv6') && !isIsatap(address);
    return isPublic ? undefined : `${address} is not a public address`;
  }

  return {
    judgeHost(rawHost, port) {
      const host = normalHost(rawHost);
      if (isAllowedHost(host, port)) return undefined;
      if (appDomain !== undefined && host === normalHost(appDomain)) {
        return `${host} is this service itself (APP_DOMAIN)`;
      }
      if (isIP(host) !== 0) return judgeAddress(host, port, host);
      if (host === 'localhost' || host.endsWith('.localhost')) return `${host} is this machine`;
      return undefined;
    },
    judgeAddress,
  };
}

/** Lower case, without the brackets of IPv6 and without the dot of a fully qualified name. */
export function normalHost(host: string): string {
  const lower = host.toLowerCase();
  if (lower.startsWith('[')) return lower.slice(1, -1);
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

function blockListOf(
  ipv4: readonly [string, number][],
  ipv6: readonly [string, number][],
): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of ipv4) list.addSubnet(network, prefix, 'ipv4');
  for (const [network, prefix] of ipv6) list.addSubnet(network, prefix, 'ipv6');
  return list;
}

/** ISATAP (RFC 5214) puts an IPv4 address behind the interface id 0:5efe or 200:5efe. */
function isIsatap(address: string): boolean {
  return /(?:^|:)(?:0{0,4}|0?200):5efe:[0-9a-f.:]+$/i.test(address);
}
