import { createHash } from 'node:crypto';
import { chmod, lchown, lstat, mkdir, readlink, realpath, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { canEnter, SHARED_ROOT, type Account } from './account.ts';
import { hasCode, isMissing } from './systemError.ts';

/** Only the name of the socket file: each data directory has a socket directory of its own. */
export const SOCKET_PORT = 5432;

/** `sun_path` holds 108 bytes on Linux and 104 on macOS, one of them the closing zero. */
const SOCKET_PATH_BYTES_MAX = process.platform === 'darwin' ? 103 : 107;

/** Creates the directory that the operator named, if need be, and answers its real path. */
export async function settleDataDir(dataDir: string): Promise<string> {
  const isRoot = process.getuid?.() === 0;
  // As root the server's user must pass through; what is secret in there has its own mode.
  const mode = isRoot ? 0o755 : 0o700;
  const created = await mkdir(dataDir, { recursive: true, mode });
  if (created !== undefined) await chmod(dataDir, mode);
  return await realpath(dataDir);
}

/** The owner of the cluster that `dataDir` holds or points to, undefined when there is none. */
export async function findClusterOwner(
  dataDir: string,
): Promise<{ uid: number; gid: number } | undefined> {
  try {
    const { uid, gid } = await stat(join(dataDir, 'postgres'));
    return { uid, gid };
  } catch (err) {
    if (isMissing(err)) return undefined;
    throw err;
  }
}

/**
 * Where the cluster (PGDATA) lies: `<dataDir>/postgres`, or, when root runs the server as a user
 * who cannot pass through to there, `/var/lib/belfry/<name>-<hash of dataDir>/postgres` with a
 * symbolic link in its place, so that the data is found again after `dataDir` was moved.
 *
 * Throws when a cluster is there but its user cannot reach it: it is neither moved nor replaced.
 */
export async function settleCluster(
  dataDir: string,
  account: Account,
  log: Logger,
): Promise<string> {
  const usual = join(dataDir, 'postgres');
  const found = await lstat(usual).catch((err: unknown) => {
    if (isMissing(err)) return undefined;
    throw err;
  });
  const reachable = await canEnter(account, dataDir);
  if (found?.isSymbolicLink() !== true) {
    if (reachable) return usual;
    if (found !== undefined) {
      throw new Error(
        `PostgreSQL runs as user ${account.name}, who cannot reach its data in ${usual}: ` +
          'let that user pass (chmod o+x) through every directory above it',
      );
    }
  }

  const pgdata =
    found === undefined ? join(relocatedDir(dataDir), 'postgres') : await readlink(usual);
  await mkdir(dirname(pgdata), { recursive: true, mode: 0o755 });
  if (found === undefined) await symlink(pgdata, usual);
  log.info(
    { dataDir, user: account.name, cluster: pgdata },
    `user ${account.name} cannot reach ${dataDir}: the database lies in ${pgdata}`,
  );
  return join(await realpath(dirname(pgdata)), basename(pgdata));
}

/**
 * The directory for the server's socket: the cluster itself, where only its owner gets in, else
 * (path too long for a socket) one under the system's temporary directory.
 *
 * Throws when both paths are too long.
 */
export async function chooseSocketDir(pgdata: string): Promise<string> {
  if (fitsSocket(pgdata)) return pgdata;
  const directory = join(await realpath(tmpdir()), `belfry-${shortHash(pgdata)}`);
  if (fitsSocket(directory)) return directory;
  throw new Error(
    `The paths of both ${pgdata} and ${directory} are too long for a PostgreSQL socket ` +
      `(${SOCKET_PATH_BYTES_MAX} bytes): use a shorter data directory`,
  );
}

/**
 * Makes the socket directory, private to the server's user, unless it is there: a cleaner of
 * temporary files may have removed it since the last start.
 *
 * Throws when somebody else made a directory of that name, whom we must not trust with a socket.
 */
export async function ensureSocketDir(directory: string, account: Account): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
    if (account.switching) await lchown(directory, account.uid, account.gid);
  } catch (cause) {
    if (!hasCode(cause, 'EEXIST')) throw cause;
    const found = await lstat(directory);
    // A directory that root made and was killed before it gave it away is as good as new.
    if (account.switching && found.isDirectory() && found.uid === 0) {
      await lchown(directory, account.uid, account.gid);
      return;
    }
    if (found.isDirectory() && found.uid === account.uid && (found.mode & 0o027) === 0) return;
    throw new Error(
      `${directory}, where PostgreSQL's socket goes, is not a private directory of user ` +
        `${account.name}: remove it`,
      { cause },
    );
  }
}

/** The path of the socket that a server with this socket directory listens on. */
export function socketPath(socketDir: string): string {
  return join(socketDir, `.s.PGSQL.${SOCKET_PORT}`);
}

function fitsSocket(directory: string): boolean {
  return Buffer.byteLength(socketPath(directory)) <= SOCKET_PATH_BYTES_MAX;
}

function relocatedDir(dataDir: string): string {
  const name = basename(dataDir).replaceAll(/[^\w-]/g, '') || 'data';
  return join(SHARED_ROOT, `${name}-${shortHash(dataDir)}`);
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 10);
}
