import { spawn } from 'node:child_process';
import type { Account } from './account.ts';

/**
 * The whole environment that PostgreSQL's programs get. Not our own: a PGPORT or PGDATA that the
 * operator exported for another server would redirect this one, and the postmaster would keep our
 * secrets readable in its environment for as long as it lives.
 */
export const SERVER_ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } as const;

const OUTPUT_CHARS_MAX = 16_384;

export interface CommandResult {
  /** 0 is success; undefined when it could not be started or a signal ended it. */
  readonly exitCode: number | undefined;
  /** stdout and stderr as they came, the last 16 KiB, trimmed. */
  readonly output: string;
}

/**
 * Runs a program to its end as `account`. An exit code other than 0 is a value, also when the
 * program cannot be executed at all (then `output` says why).
 *
 * It gets a session of its own, so that Ctrl-C reaches only Belfry, which then ends it through
 * `signal`, and so that its children die with it.
 *
 * Throws `signal.reason` when aborted, and an Error after `timeoutMs`.
 */
export async function runCommand(options: {
  file: string;
  args: readonly string[];
  account: Account;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}): Promise<CommandResult> {
  const { file, args, account, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const result = Promise.withResolvers<CommandResult>();
  const child = spawn(file, args, {
    ...asSpawnOptions(account),
    cwd: '/',
    env: SERVER_ENVIRONMENT,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });

  let output = '';
  const collect = (chunk: string): void => {
    output = (output + chunk).slice(-OUTPUT_CHARS_MAX);
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  child.on('error', (err) => result.resolve({ exitCode: undefined, output: err.message }));
  child.on('close', (code) =>
    result.resolve({ exitCode: code ?? undefined, output: output.trim() }),
  );

  const endGroup = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Already gone.
    }
  };
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    endGroup();
  }, timeoutMs);
  signal?.addEventListener('abort', endGroup, { once: true });
  try {
    const settled = await result.promise;
    signal?.throwIfAborted();
    if (timedOut) throw new Error(`${file} did not finish within ${timeoutMs} ms: ${output}`);
    return settled;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', endGroup);
  }
}

/** What `spawn` needs to start a program as `account`. libuv drops supplementary groups too. */
export function asSpawnOptions(account: Account): { uid?: number; gid?: number } {
  return account.switching ? { uid: account.uid, gid: account.gid } : {};
}
