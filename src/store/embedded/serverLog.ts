import { open, rename, stat } from 'node:fs/promises';
import { isMissing } from './systemError.ts';

const ROTATE_BYTES = 16 * 1024 * 1024;
const TAIL_BYTES = 4_096;
const TAIL_LINES = 12;

/**
 * Opens `postgres.log` for a server's output. A log over 16 MiB becomes `postgres.log.1` first
 * (one old log is kept). We open it, not the server, so its user need not reach the file.
 */
export async function openServerLog(path: string): Promise<{ fd: number } & AsyncDisposable> {
  if ((await serverLogBytes(path)) > ROTATE_BYTES) await rename(path, `${path}.1`);
  const file = await open(path, 'a', 0o600);
  return { fd: file.fd, [Symbol.asyncDispose]: () => file.close() };
}

/** The size of the log, 0 when there is none: what is written later starts there. */
export async function serverLogBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (err) {
    if (isMissing(err)) return 0;
    throw err;
  }
}

/** The last lines (12, or 4 KiB) that were written after the first `fromBytes`. */
export async function readServerLogTail(path: string, fromBytes: number): Promise<string> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (err) {
    if (isMissing(err)) return '';
    throw err;
  }
  try {
    const { size } = await file.stat();
    // A smaller file than before is a new one, after a rotation.
    const start = Math.max(fromBytes > size ? 0 : fromBytes, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(TAIL_BYTES),
      position: start,
    });
    const text = buffer.subarray(0, bytesRead).toString('utf8').trim();
    return text.split('\n').slice(-TAIL_LINES).join('\n');
  } finally {
    await file.close();
  }
}
