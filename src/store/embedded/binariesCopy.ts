import { createHash } from 'node:crypto';
import { chmod, cp, lstat, mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { SHARED_ROOT } from './account.ts';
import { removeLeftovers, temporarySibling } from './leftovers.ts';
import { withStartLock } from './startLock.ts';

/**
 * Copies a package's `native` directory to `/var/lib/belfry/postgres-<version>-<hash>`, once, and
 * answers that path. The hash is of the server's binary, so clones with the same binaries share a
 * copy, and it is complete or absent: it gets its name by a rename. Copies of older versions are
 * left alone, a server of another clone may run from them (60 MB each).
 */
export async function copyBinaries(
  packageDir: string,
  log: Logger,
  signal: AbortSignal | undefined,
): Promise<string> {
  const native = join(packageDir, 'native');
  const version = await readVersion(packageDir);
  const hash = createHash('sha256').update(await readFile(join(native, 'bin', 'postgres')));
  const target = join(SHARED_ROOT, `postgres-${version}-${hash.digest('hex').slice(0, 12)}`);
  if (await isDirectory(target)) return target;

  await mkdir(SHARED_ROOT, { recursive: true, mode: 0o755 });
  // Other clones have other data directories, so theirs are other start locks.
  return await withStartLock(SHARED_ROOT, signal, async () => {
    if (await isDirectory(target)) return target;
    await removeLeftovers(target, log);
    const partial = temporarySibling(target);
    await cp(native, partial, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !source.endsWith('.a'),
    });
    await makeReadableToAll(partial);
    await rename(partial, target);
    return target;
  });
}

async function readVersion(packageDir: string): Promise<string> {
  const path = join(packageDir, 'package.json');
  const parsed: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (
    typeof parsed === 'object' &&
    parsed !== null &&
    'version' in parsed &&
    typeof parsed.version === 'string' &&
    /^[\w.+-]+$/.test(parsed.version)
  ) {
    return parsed.version;
  }
  throw new Error(`${path} has no version`);
}

/** A clone made under umask 077 has files that only root can read. */
async function makeReadableToAll(root: string): Promise<void> {
  await chmod(root, 0o755);
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    const executable = entry.isDirectory() || entry.parentPath === join(root, 'bin');
    await chmod(path, executable ? 0o755 : 0o644);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isDirectory() ?? false;
}
