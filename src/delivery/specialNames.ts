/**
 * Names of this machine and of local networks: reserved for such use (RFC 6761, 6762, 8375; ICANN for
 * `internal`), or in wide use for it although nobody has reserved them (`lan`, `corp`, …).
 */
const localSuffixes = [
  'corp',
  'home',
  'home.arpa',
  'internal',
  'intranet',
  'lan',
  'local',
  'localdomain',
  'localhost',
  'private',
];

/**
 * Whether a name leads somewhere by the network that it is looked up from, not by public DNS: a single
 * label ("metadata", which a search domain completes) or one below a suffix for local use.
 */
export function isLocalName(name: string): boolean {
  if (!name.includes('.')) return true;
  return localSuffixes.some((suffix) => name.endsWith(`.${suffix}`));
}
