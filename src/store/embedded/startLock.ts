import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Longer than anything that is done under it: initdb (120 s) and recovery (300 s). */
const WAIT_MS_MAX = 480_000;
const POLL_MS = 50;
const SQLITE_BUSY = 5;

/**
 * Runs `task` while no other process (or caller in this one) does so for the same data directory.
 *
 * The lock is SQLite's exclusive lock on an empty file, because that is the one kernel file lock
 * within Node's reach: it ends with its process however that dies, there is nothing stale to take
 * over, no process id to be reused, and it holds between containers that share the directory. A
 * lock file with a process id in it has all of those holes. SQLite never writes to the file.
 *
 * Throws `signal.reason` when aborted while waiting, and an Error after 8 minutes.
 */
export async function withStartLock<T>(
  directory: string,
  signal: AbortSignal | undefined,
  task: () => Promise<T>,
): Promise<T> {
  const path = join(directory, 'start.lock');
  const lock = openLock(path);
  try {
    const deadline = performance.now() + WAIT_MS_MAX;
    while (!tryLock(lock)) {
      if (performance.now() > deadline) {
        throw new Error(`Another process has held ${path} for ${WAIT_MS_MAX / 1000} s`);
      }
      await delay(POLL_MS, undefined, signal === undefined ? {} : { signal });
    }
    return await task();
  } finally {
    lock.close();
  }
}

function openLock(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0 });
  } catch (cause) {
    throw new Error(`Cannot open ${path}: run Belfry as the owner of that directory`, { cause });
  }
}

function tryLock(lock: DatabaseSync): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (err) {
    if (err instanceof Error && 'errcode' in err && err.errcode === SQLITE_BUSY) return false;
    throw err;
  }
}
