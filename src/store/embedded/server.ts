import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { asSpawnOptions, SERVER_ENVIRONMENT } from './command.ts';
import { isPostmaster, readPidFile } from './postmasterProcess.ts';
import { openServerLog } from './serverLog.ts';
import { fixedArguments } from './settings.ts';

/**
 * How soon the death of a server that is not our child is noticed, at most. Linux reads a file of
 * /proc for it (20 µs); macOS runs ps (5 ms).
 */
const WATCH_POLL_MS = process.platform === 'linux' ? 250 : 2_000;

/** A postmaster process, whoever started it. */
export interface Server {
  readonly pid: number;
  readonly socketDir: string;
  /** True when it was found running. */
  readonly adopted: boolean;
  /** Resolves when the process has gone, with words that say how. Rejects when aborted. */
  gone(signal: AbortSignal): Promise<string>;
}

/** The running postmaster of `pgdata`, whatever state it is in; undefined when there is none. */
export async function findServer(pgdata: string, socketDir: string): Promise<Server | undefined> {
  const found = await readPidFile(pgdata);
  if (found === undefined || !(await isPostmaster(found.pid, pgdata))) return undefined;
  const { pid } = found;
  return {
    pid,
    socketDir: found.socketDir ?? socketDir,
    adopted: true,
    async gone(signal) {
      while (await isPostmaster(pid, pgdata)) {
        await delay(WATCH_POLL_MS, undefined, { signal, ref: false });
      }
      return 'its process is gone';
    },
  };
}

/**
 * Starts a postmaster, without waiting until it is ready. It leads a session of its own: Ctrl-C in
 * a terminal signals Belfry's process group and must not stop the database before the drain, and
 * a kill -9 of Belfry must leave it whole. So it is no burden on our event loop either (unref).
 *
 * Throws when the program cannot be executed.
 */
export async function launchServer(options: {
  pgdata: string;
  socketDir: string;
  logFile: string;
  binaries: Binaries;
  account: Account;
}): Promise<Server> {
  const { pgdata, socketDir, logFile, binaries, account } = options;
  await using log = await openServerLog(logFile);
  const child = spawn(binaries.postgres, ['-D', pgdata, ...fixedArguments()], {
    ...asSpawnOptions(account),
    cwd: '/',
    env: { ...SERVER_ENVIRONMENT, ...(await excuseStalePid(pgdata)) },
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  const spawned = Promise.withResolvers<void>();
  const exited = Promise.withResolvers<string>();
  child.once('spawn', spawned.resolve);
  child.once('error', spawned.reject);
  child.once('exit', (code, signal) =>
    exited.resolve(signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`),
  );
  await spawned.promise;
  child.unref();
  const { pid } = child;
  if (pid === undefined) throw new Error(`${binaries.postgres} was started without a process id`);
  return {
    pid,
    socketDir,
    adopted: false,
    async gone(signal) {
      signal.throwIfAborted();
      const aborted = Promise.withResolvers<never>();
      const abort = (): void => aborted.reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      try {
        return await Promise.race([exited.promise, aborted.promise]);
      } finally {
        signal.removeEventListener('abort', abort);
      }
    },
  };
}

/**
 * After a crash, `postmaster.pid` may name a process that is alive and has nothing to do with it
 * (a container's process ids repeat at every start), and PostgreSQL would refuse to start. Called
 * when that process is known not to be our postmaster, this makes the new one treat the id as its
 * grandparent's, which it takes for stale (pg_ctl uses the same variable). Deleting the file
 * instead would disarm the other check, for sessions of the dead server that still write to
 * shared memory.
 */
async function excuseStalePid(pgdata: string): Promise<{ PG_GRANDPARENT_PID?: string }> {
  const stale = await readPidFile(pgdata);
  return stale === undefined ? {} : { PG_GRANDPARENT_PID: String(stale.pid) };
}
