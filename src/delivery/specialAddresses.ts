import { BlockList, isIP } from 'node:net';

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

const denied = new BlockList();
for (const [network, prefix] of deniedIpv4) denied.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of deniedIpv6) denied.addSubnet(network, prefix, 'ipv6');
const globalUnicast = new BlockList();
globalUnicast.addSubnet('2000::', 3, 'ipv6');

/**
 * Whether an address is ordinary public address space: for IPv4 all but the special-purpose ranges
 * (IANA registries, RFC 6890) and one of Azure's, for IPv6 only 2000::/3 less its special ranges.
 */
export function isPublicAddress(address: string): boolean {
  if (familyOf(address) === 'ipv4') return !denied.check(address, 'ipv4');
  if (!globalUnicast.check(address, 'ipv6') || denied.check(address, 'ipv6')) return false;
  return !isIsatap(groupsOf(address));
}

/** The IPv4 address in the last 32 bits of an IPv6 address (RFC 6052, a prefix of 96 bits). */
export function lastIpv4(address: string): string {
  const [high = 0, low = 0] = groupsOf(address).slice(6);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

export function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

/** ISATAP (RFC 5214) puts an IPv4 address behind the interface id 0:5efe or 200:5efe. */
function isIsatap(groups: readonly number[]): boolean {
  return groups[5] === 0x5efe && (groups[4] === 0 || groups[4] === 0x200);
}

/** The eight groups of an IPv6 address, as a URL spells it: no dotted part, at most one "::". */
function groupsOf(address: string): readonly number[] {
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const read = (text: string) =>
    text
      .split(':')
      .filter(Boolean)
      .map((group) => parseInt(group, 16));
  if (tail === undefined) return read(head);
  const [before, after] = [read(head), read(tail)];
  return [
    ...before,
    ...Array.from({ length: 8 - before.length - after.length }, () => 0),
    ...after,
  ];
}
