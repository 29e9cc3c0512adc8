import { BlockList, isIP } from 'node:net';
import type { PortRange } from '../core/egressSettings.ts';
import type { TargetEntry } from '../core/settingParsers.ts';
import { portOf, type TargetObjection, type TargetParts } from '../core/target.ts';
import { mayCallPort } from './ports.ts';
import { familyOf, isPublicAddress, lastIpv4 } from './specialAddresses.ts';
import { isLocalName } from './specialNames.ts';
import { createTargetList } from './targetList.ts';

/** What an operator has set. */
export interface TargetPolicy {
  /** Looked at first: what is here may be reached, whatever else is said (but for `httpsOnly`). */
  readonly allowTargets: readonly TargetEntry[];
  readonly denyTargets: readonly TargetEntry[];
  /** The network of a NAT64 gateway, 96 bits of it; undefined for none. */
  readonly nat64Prefix: string | undefined;
  /** Undefined for all but those of other protocols. */
  readonly allowPorts: readonly PortRange[] | undefined;
  readonly httpsOnly: boolean;
  /** The service's own public host name, if it has one. */
  readonly appDomain: string | undefined;
}

/**
 * Judges where deliveries may go. An address is allowed when an operator's entry has it, or when it
 * is ordinary public address space that no entry denies.
 */
export interface AddressGuard {
  /**
   * Judges a URL as far as it can be without a look-up: scheme, port, names of local networks, the
   * service's own domain, and addresses. Undefined means nothing against it.
   */
  judgeUrl(url: TargetParts): TargetObjection | undefined;
  /** Judges an address that a connection to `host` would go to. Undefined, or the reason. */
  judgeAddress(host: string, port: number, address: string): string | undefined;
  /** Whether ALLOW_TARGETS names the host: such a name is looked up as the machine does. */
  isNamed(host: string, port: number): boolean;
}

export function createAddressGuard(policy: TargetPolicy): AddressGuard {
  const { nat64Prefix, allowPorts, httpsOnly, appDomain } = policy;
  const allowed = createTargetList(policy.allowTargets);
  const denied = createTargetList(policy.denyTargets);
  const nat64 = new BlockList();
  if (nat64Prefix !== undefined) nat64.addSubnet(nat64Prefix, 96, 'ipv6');

  function judgeAddress(host: string, port: number, address: string): string | undefined {
    // An address on the list may also be reached by a name that leads to it.
    if (allowed.hasHost(normalHost(host), port)) return undefined;
    return judge(address, port);
  }

  function judge(address: string, port: number): string | undefined {
    // Not an address, or one of a zone (fe80::1%2): neither is anything public.
    if (isIP(address) === 0 || address.includes('%')) return `${address} is not a public address`;
    if (allowed.hasAddress(address, port)) return undefined;
    if (denied.hasAddress(address, port)) return `${address} is in DENY_TARGETS`;
    if (familyOf(address) === 'ipv6' && nat64.check(address, 'ipv6')) {
      const reason = judge(lastIpv4(address), port);
      return reason === undefined ? undefined : `${address}, by NAT64: ${reason}`;
    }
    return isPublicAddress(address) ? undefined : `${address} is not a public address`;
  }

  function judgeHost(host: string, port: number): string | undefined {
    if (denied.hasHost(host, port)) return `${host} is in DENY_TARGETS`;
    if (appDomain !== undefined && host === normalHost(appDomain)) {
      return `${host} is this service itself (APP_DOMAIN)`;
    }
    if (isIP(host) !== 0) return judge(host, port);
    return isLocalName(host) ? `${host} is a name of this machine or network` : undefined;
  }

  return {
    judgeUrl(url) {
      if (httpsOnly && url.protocol !== 'https:') {
        return { rule: 'scheme', reason: `${url.hostname}: not by https (HTTPS_ONLY)` };
      }
      const host = normalHost(url.hostname);
      const port = portOf(url);
      if (allowed.hasHost(host, port)) return undefined;
      if (isIP(host) !== 0 && allowed.hasAddress(host, port)) return undefined;
      const reason = judgeHost(host, port);
      if (reason !== undefined) return { rule: 'host', reason };
      if (mayCallPort(port, allowPorts)) return undefined;
      return { rule: 'port', reason: `${host}: port ${port} is not called (ALLOW_PORTS)` };
    },
    judgeAddress,
    isNamed: (host, port) => allowed.hasHost(normalHost(host), port),
  };
}

/** Lower case, without the brackets of IPv6 and without the dot of a fully qualified name. */
export function normalHost(host: string): string {
  const lower = host.toLowerCase();
  if (lower.startsWith('[')) return lower.slice(1, -1);
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}
