/** How the connection to the database is protected, over what its URL says. */
export interface DatabaseTls {
  readonly mode: 'verify-full' | 'off' | undefined;
  /** PEM file of who has signed the server's certificate; undefined: who Node trusts. */
  readonly caFile: string | undefined;
}

/**
 * Adds what the driver takes in a URL. Its `prefer`, `require` and `verify-ca` check certificate and
 * name as well, and it warns that they will not one day: here they are called by what they do.
 */
export function withTls(url: string, { mode, caFile }: DatabaseTls): string {
  const parsed = new URL(url);
  const { searchParams } = parsed;
  if (/^(?:prefer|require|verify-ca)$/.test(searchParams.get('sslmode') ?? '')) {
    searchParams.set('sslmode', 'verify-full');
  }
  if (mode === 'off') searchParams.set('sslmode', 'disable');
  else if (mode === 'verify-full' || caFile !== undefined) {
    searchParams.set('sslmode', 'verify-full');
  }
  if (caFile !== undefined) searchParams.set('sslrootcert', caFile);
  return parsed.href === new URL(url).href ? url : parsed.href;
}
