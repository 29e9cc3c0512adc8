import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { temporarySibling } from './leftovers.ts';
import { socketPath } from './places.ts';
import { isMissing } from './systemError.ts';

const PROBE_TIMEOUT_MS = 2_000;

/** What `connection.json` holds. Mode 0600, because the url bears the password. */
export interface ConnectionRecord {
  readonly url: string;
  /** The postmaster's. */
  readonly pid: number;
  readonly socketDir: string;
}

/**
 * How another command (`belfry migrate`) attaches to the embedded server of `dataDir`: undefined
 * when none is running there, which is found out by asking at its socket (at most 2 s), so
 * the file that a crash left behind does not mislead.
 *
 * Throws when the file is there and cannot be read (another user's) or is damaged.
 */
export async function readConnectionFile(dataDir: string): Promise<{ url: string } | undefined> {
  const path = connectionFilePath(dataDir);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (err) {
    if (isMissing(err)) return undefined;
    throw new Error(`Cannot read ${path}: run this as the user that Belfry runs as`, {
      cause: err,
    });
  }
  const record = parseRecord(text, path);
  return (await socketAnswers(record.socketDir)) ? { url: record.url } : undefined;
}

/** Replaces the file in one step: a reader sees the old one or the new one. */
export async function writeConnectionFile(
  dataDir: string,
  record: ConnectionRecord,
): Promise<void> {
  const path = connectionFilePath(dataDir);
  const partial = temporarySibling(path);
  await writeFile(partial, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  await rename(partial, path);
}

/** Where the file of a data directory is. */
export function connectionFilePath(dataDir: string): string {
  return join(dataDir, 'connection.json');
}

/** Removes the file, so that no command attaches to a server that is about to stop. */
export async function removeConnectionFile(dataDir: string): Promise<void> {
  await rm(connectionFilePath(dataDir), { force: true });
}

/** SSLRequest: length 8, code 80877103. Any live server answers it with one byte. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * Whether a PostgreSQL answers on the socket in that directory. To be connected is not enough:
 * the kernel does that for a postmaster that was killed, as long as one of its children lives.
 */
export async function socketAnswers(socketDir: string): Promise<boolean> {
  const answer = Promise.withResolvers<boolean>();
  const socket = connect({ path: socketPath(socketDir), timeout: PROBE_TIMEOUT_MS });
  socket.once('connect', () => socket.write(SSL_REQUEST));
  socket.once('data', () => answer.resolve(true));
  for (const event of ['timeout', 'error', 'close'])
    socket.once(event, () => answer.resolve(false));
  try {
    return await answer.promise;
  } finally {
    socket.destroy();
  }
}

function parseRecord(text: string, path: string): ConnectionRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path} is not JSON`, { cause });
  }
  if (
    typeof value === 'object' &&
    value !== null &&
    'url' in value &&
    typeof value.url === 'string' &&
    'pid' in value &&
    typeof value.pid === 'number' &&
    'socketDir' in value &&
    typeof value.socketDir === 'string'
  ) {
    return { url: value.url, pid: value.pid, socketDir: value.socketDir };
  }
  throw new Error(`${path} is not a connection file`);
}
