import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createTimerClient, type TimerClient } from './timerClient.ts';
import { eventually } from './eventually.ts';

export const mainPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Belfry through its real command line, leading a process group of its own. */
export interface BelfryProcess extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  /** Requests to its API. */
  readonly timers: TimerClient;
  /** What it has written so far. */
  stdout(): string;
  stderr(): string;
  readonly exited: Promise<Exit>;
  hasExited(): boolean;
  /** Resolves when GET /ready says so; rejects with its output when it ends before. */
  ready(timeoutMs?: number): Promise<void>;
  signal(signal: NodeJS.Signals, whom?: 'process' | 'group'): void;
}

export interface BelfryOptions {
  readonly command: 'dev' | 'serve';
  readonly environment?: Readonly<Record<string, string>>;
  /** Before the program: `--import …`. */
  readonly nodeArguments?: readonly string[];
  /** Another one in the place of the command line. */
  readonly program?: string;
  /** `''` is the default: the tests' own directory. */
  readonly cwd?: string;
}

/**
 * Starts `belfry dev` or `belfry serve` on a free port and with nothing of our own environment but
 * what a shell has. Not waited for: see `ready`.
 */
export async function spawnBelfry(options: BelfryOptions): Promise<BelfryProcess> {
  const { command, environment = {}, nodeArguments = [] } = options;
  const port = environment['PORT'] ?? String(await freePort());
  const child = spawn(process.execPath, [...nodeArguments, options.program ?? mainPath, command], {
    env: { ...shellEnvironment(), PORT: port, ...environment },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { pid } = child;
  assert.ok(pid !== undefined, 'node could not be started');
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    // `close`, not `exit`: all of its output has come then.
    child.once('close', (code, signal) => {
      exit = { code, signal };
      resolve(exit);
    });
  });
  const url = `http://127.0.0.1:${port}`;
  const timers = createTimerClient(url);

  function signal(name: NodeJS.Signals, whom: 'process' | 'group' = 'process'): void {
    try {
      process.kill(whom === 'group' ? -Number(pid) : Number(pid), name);
    } catch {
      // It has ended already.
    }
  }

  return {
    pid,
    url,
    timers,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    exited,
    hasExited: () => exit !== undefined,
    async ready(timeoutMs = 60_000) {
      await eventually(
        'belfry is ready',
        async () => {
          if (exit !== undefined) {
            throw new Error(
              `belfry ended with ${exit.code ?? exit.signal}:\n${output.stdout}${output.stderr}`,
            );
          }
          return (await timers.get('/ready').catch(() => undefined))?.status === 200;
        },
        timeoutMs,
      );
    },
    signal,
    async [Symbol.asyncDispose]() {
      if (exit === undefined) signal('SIGKILL');
      await exited;
      await timers.close();
    },
  };
}

/** The same, and waits until it is ready. */
export async function startBelfry(options: BelfryOptions): Promise<BelfryProcess> {
  const belfry = await spawnBelfry(options);
  try {
    await belfry.ready();
    return belfry;
  } catch (err) {
    await belfry[Symbol.asyncDispose]();
    throw err;
  }
}

/** Runs a command to its end. */
export async function runBelfry(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [mainPath, ...args], {
    env: { ...shellEnvironment(), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const exit = await new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  return { ...exit, stdout, stderr };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Of our own environment only what is not a setting of anything under test. */
export function shellEnvironment(): Record<string, string> {
  const names = ['PATH', 'HOME', 'TMPDIR', 'LANG'];
  return {
    ...Object.fromEntries(
      names.map((name) => [name, process.env[name] ?? '']).filter(([, v]) => v),
    ),
    // Whoever runs the tests may be logged in somewhere.
    XDG_CONFIG_HOME: join(tmpdir(), 'belfry-tests-have-no-configuration'),
  };
}
