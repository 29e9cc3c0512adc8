import { execFile } from 'node:child_process';
import { readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { hasCode, isMissing } from './systemError.ts';

const POLL_MS = 20;
/** A fast shutdown writes a checkpoint: at most shared_buffers (256 MB) of dirty pages. */
const FAST_SHUTDOWN_MS_MAX = 30_000;
/** After SIGQUIT the postmaster itself kills what has not gone after 5 s. */
const IMMEDIATE_SHUTDOWN_MS_MAX = 10_000;

/** What the server says of itself in `postmaster.pid`. */
export interface PidFile {
  readonly pid: number;
  /** Undefined while the server has not come so far. */
  readonly socketDir: string | undefined;
}

/** Reads `postmaster.pid`, undefined when there is none (or none yet). */
export async function readPidFile(pgdata: string): Promise<PidFile | undefined> {
  let text: string;
  try {
    text = await readFile(join(pgdata, 'postmaster.pid'), 'utf8');
  } catch (err) {
    if (isMissing(err)) return undefined;
    throw err;
  }
  // Lines: pid, data directory, start (s), port, socket directory, listen address, shmem, status.
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return { pid, socketDir: lines[4] === undefined || lines[4] === '' ? undefined : lines[4] };
}

/**
 * Whether the process `pid` is the postmaster of `pgdata`. A stale `postmaster.pid` may name any
 * process by now, so it is asked what it is. A zombie, or one that is exiting, is none.
 */
export async function isPostmaster(pid: number, pgdata: string): Promise<boolean> {
  return await isPostmasterCommand(pid, pgdata, await readArguments(pid));
}

/**
 * Stops the postmaster: fast shutdown (SIGINT; sessions are ended, a checkpoint is written), after
 * 30 s immediate shutdown (SIGQUIT; the next start recovers). Resolves when the process has gone.
 *
 * Throws when it is still there another 10 s later, or may not be signalled.
 */
export async function stopPostmaster(pid: number, pgdata: string, log: Logger): Promise<void> {
  if (!(await signalPostmaster(pid, pgdata, 'SIGINT'))) return;
  if (await waitUntilGone(pid, pgdata, FAST_SHUTDOWN_MS_MAX)) return;
  log.warn({ serverPid: pid, pgdata }, 'PostgreSQL did not stop within 30 s: stopping it at once');
  if (!(await signalPostmaster(pid, pgdata, 'SIGQUIT'))) return;
  if (await waitUntilGone(pid, pgdata, IMMEDIATE_SHUTDOWN_MS_MAX)) return;
  throw new Error(`PostgreSQL (process ${pid}, data in ${pgdata}) does not stop`);
}

async function signalPostmaster(
  pid: number,
  pgdata: string,
  signal: 'SIGINT' | 'SIGQUIT',
): Promise<boolean> {
  if (!(await isPostmaster(pid, pgdata))) return false;
  try {
    process.kill(pid, signal);
    return true;
  } catch (err) {
    if (hasCode(err, 'ESRCH')) return false;
    throw new Error(`Cannot stop PostgreSQL (process ${pid})`, { cause: err });
  }
}

async function waitUntilGone(pid: number, pgdata: string, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await hasGone(pid, pgdata))) {
    if (performance.now() > deadline) return false;
    await delay(POLL_MS);
  }
  return true;
}

async function isPostmasterCommand(
  pid: number,
  pgdata: string,
  command: string | undefined,
): Promise<boolean> {
  if (command === undefined) return false;
  if (process.platform !== 'linux') return `${command.trim()} `.includes(`postgres -D ${pgdata} `);
  const [program = '', ...args] = command.split('\0');
  if (basename(program) !== 'postgres') return false;
  if (args[args.indexOf('-D') + 1] === pgdata) return true;
  // Started by hand with a relative path: a postmaster works in its data directory.
  return (await readlink(`/proc/${pid}/cwd`).catch(() => undefined)) === pgdata;
}

/** Gone is a zombie too: it holds nothing any more, and only its parent can remove it. */
async function hasGone(pid: number, pgdata: string): Promise<boolean> {
  const command = await readArguments(pid);
  if (command === undefined) return true;
  if (command !== '') return !(await isPostmasterCommand(pid, pgdata, command));
  // Its memory is gone already, its open files perhaps not: the state follows the name in ().
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status === '' || /\) [ZX] [^)]*$/.test(status);
}

/** The command line of a process: zero-separated on Linux, as `ps` prints it on macOS. */
async function readArguments(pid: number): Promise<string | undefined> {
  try {
    if (process.platform === 'linux') return await readFile(`/proc/${pid}/cmdline`, 'utf8');
    const { stdout } = await promisify(execFile)('/bin/ps', ['-ww', '-o', 'args=', '-p', `${pid}`]);
    return stdout;
  } catch {
    return undefined;
  }
}
