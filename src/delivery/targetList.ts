import { BlockList } from 'node:net';
import type { TargetEntry } from '../core/settingParsers.ts';
import { familyOf } from './specialAddresses.ts';

/** ALLOW_TARGETS or DENY_TARGETS, to be asked. */
export interface TargetList {
  /** Whether an entry names the host, or is the address itself. */
  hasHost(host: string, port: number): boolean;
  /** Whether an entry is the address, or a range with it. */
  hasAddress(address: string, port: number): boolean;
}

export function createTargetList(entries: readonly TargetEntry[]): TargetList {
  const ranges = new BlockList();
  for (const entry of entries) {
    if (entry.kind === 'range') {
      ranges.addSubnet(entry.network, entry.prefix, familyOf(entry.network));
    }
  }
  const hosts = entries.filter((entry) => entry.kind === 'host');

  function hasHost(host: string, port: number): boolean {
    return hosts.some(
      (entry) => isMatch(entry.host, host) && (entry.port === undefined || entry.port === port),
    );
  }

  return {
    hasHost,
    hasAddress: (address, port) =>
      hasHost(address, port) || ranges.check(address, familyOf(address)),
  };
}

/** `*.example.com` matches every name below example.com, and not itself. */
function isMatch(pattern: string, host: string): boolean {
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : pattern === host;
}
