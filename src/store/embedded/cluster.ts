import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { runCommand } from './command.ts';
import { removeLeftovers, temporarySibling } from './leftovers.ts';
import { isMissing } from './systemError.ts';

/** PostgreSQL's superuser, whom Belfry connects as, and the name of its database. */
export const SUPERUSER = 'belfry';
export const DATABASE = 'belfry';

const INITDB_TIMEOUT_MS = 120_000;

/**
 * Inside the cluster, because it must exist exactly when the cluster does: a password kept beside
 * it could be lost or belong to another one.
 */
const PASSWORD_FILE = 'belfry.password';

/**
 * Makes sure that a complete cluster is at `pgdata`, and answers the superuser's password. Call
 * it under the start lock.
 *
 * Throws when the cluster belongs to another major version, when something else is there, when
 * initdb fails or takes longer than 120 s, and `signal.reason` when aborted.
 */
export async function ensureCluster(options: {
  pgdata: string;
  binaries: Binaries;
  account: Account;
  log: Logger;
  signal?: AbortSignal | undefined;
}): Promise<{ password: string }> {
  const { pgdata, binaries } = options;
  await removeLeftovers(pgdata, options.log);
  const found = await readMajor(pgdata);
  if (found === undefined) {
    await createCluster(options);
  } else if (found !== binaries.major) {
    throw new Error(
      `${pgdata} holds data of PostgreSQL ${found}, and the embedded PostgreSQL is version ` +
        `${binaries.major}: move the data with pg_dump of version ${found}, or name another ` +
        'data directory',
    );
  }
  return { password: await readPassword(pgdata) };
}

async function createCluster(options: {
  pgdata: string;
  binaries: Binaries;
  account: Account;
  log: Logger;
  signal?: AbortSignal | undefined;
}): Promise<void> {
  const { pgdata, binaries, account, log, signal } = options;
  const startedMs = performance.now();
  const password = randomBytes(24).toString('base64url');
  const partial = temporarySibling(pgdata);
  const passwordFile = `${partial}.password`;
  try {
    await writeDurably(passwordFile, password, account);
    await mkdir(partial, { mode: 0o700 });
    if (account.switching) await chown(partial, account.uid, account.gid);
    const { exitCode, output } = await runCommand({
      file: binaries.initdb,
      args: [
        `--pgdata=${partial}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--data-checksums',
        '--no-instructions',
      ],
      account,
      timeoutMs: INITDB_TIMEOUT_MS,
      signal,
    });
    if (exitCode !== 0) throw new Error(`initdb could not create ${pgdata}: ${output}`);
    await writeDurably(join(partial, PASSWORD_FILE), password, account);
    await rename(partial, pgdata);
    await syncDirectory(dirname(pgdata));
  } finally {
    await rm(passwordFile, { force: true });
    await rm(partial, { recursive: true, force: true, maxRetries: 3 });
  }
  log.info(
    { cluster: pgdata, major: binaries.major, ms: Math.round(performance.now() - startedMs) },
    `created a PostgreSQL ${binaries.major} database in ${pgdata}`,
  );
}

async function readPassword(pgdata: string): Promise<string> {
  const path = join(pgdata, PASSWORD_FILE);
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    throw new Error(`Cannot read ${path}: was the data in ${pgdata} created by Belfry?`, { cause });
  }
}

/** The major version of the cluster at `pgdata`, undefined when there is nothing. */
async function readMajor(pgdata: string): Promise<string | undefined> {
  try {
    return (await readFile(join(pgdata, 'PG_VERSION'), 'utf8')).trim();
  } catch (err) {
    if (!isMissing(err)) {
      throw new Error(`Cannot read the data in ${pgdata}: run Belfry as its owner or as root`, {
        cause: err,
      });
    }
  }
  const entries = await readdir(pgdata).catch((err: unknown) => {
    if (isMissing(err)) return [];
    throw err;
  });
  if (entries.length === 0) return undefined;
  throw new Error(`${pgdata} is not empty and holds no PostgreSQL data: move it away`);
}

async function writeDurably(path: string, text: string, account: Account): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    if (account.switching) await file.chown(account.uid, account.gid);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
