import { readFile } from 'node:fs/promises';
import { runCommand } from './command.ts';

/** The operating system user that the server runs as. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** True when that is somebody else than we are, which only root can arrange. */
  readonly switching: boolean;
}

/** Where root keeps what the server's user must reach when it cannot reach the clone. */
export const SHARED_ROOT = '/var/lib/belfry';

const CANDIDATES = ['postgres', '_postgres', 'nobody'];

/**
 * Who the server runs as: ourselves, or, because PostgreSQL refuses to run as root, the owner of
 * the data that is already there, else the first of `postgres`, `_postgres` (macOS) and `nobody`
 * that exists.
 *
 * Throws when we are root and there is none of them.
 */
export async function chooseAccount(
  dataOwner: { uid: number; gid: number } | undefined,
): Promise<Account> {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  if (uid !== 0) return { name: `uid ${uid}`, uid, gid, switching: false };

  const users = parseUsers(await readFile('/etc/passwd', 'utf8'));
  if (dataOwner !== undefined && dataOwner.uid !== 0) {
    const known = users.find((user) => user.uid === dataOwner.uid);
    return { name: known?.name ?? `uid ${dataOwner.uid}`, ...dataOwner, switching: true };
  }
  for (const name of CANDIDATES) {
    const user = users.find((user) => user.name === name && user.uid > 0 && user.gid > 0);
    if (user !== undefined) return { ...user, switching: true };
  }
  throw new Error(
    'The embedded PostgreSQL cannot run as root and /etc/passwd has no user ' +
      `${CANDIDATES.join(', ')} to run it as: start Belfry as another user or set DATABASE_URL`,
  );
}

/**
 * Whether `account` can enter `directory`. Asked by entering it as that user, because mode bits
 * alone miss ACLs, mount options and security modules.
 */
export async function canEnter(account: Account, directory: string): Promise<boolean> {
  if (!account.switching) return true;
  const probe = await runCommand({
    file: '/bin/sh',
    args: ['-c', 'cd -- "$1"', 'sh', directory],
    account,
    timeoutMs: 10_000,
  });
  return probe.exitCode === 0;
}

function parseUsers(passwd: string): { name: string; uid: number; gid: number }[] {
  return passwd
    .split('\n')
    .map((line) => line.split(':'))
    .map(([name = '', , uid = '', gid = '']) => ({ name, uid: Number(uid), gid: Number(gid) }))
    .filter((user) => Number.isInteger(user.uid) && Number.isInteger(user.gid));
}
