/** Whether `err` bears one of these codes: `ENOENT` of the system, `3D000` of PostgreSQL. */
export function hasCode(err: unknown, ...codes: readonly string[]): boolean {
  const code = codeOf(err);
  return code !== undefined && codes.includes(code);
}

/** Whether `err` says that the path does not exist. */
export function isMissing(err: unknown): boolean {
  return hasCode(err, 'ENOENT', 'ENOTDIR');
}

/** The code of a system or PostgreSQL error, undefined for any other. */
export function codeOf(err: unknown): string | undefined {
  if (err instanceof Error && 'code' in err && typeof err.code === 'string') return err.code;
  return undefined;
}
