import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { pino, type Logger } from 'pino';
import {
  isPostmaster,
  readPidFile,
  stopPostmaster,
} from '../../src/store/embedded/postmasterProcess.ts';

export const IS_ROOT = process.getuid?.() === 0;

/** A logger that keeps its lines, for tests of what the operator is told. */
export function createRecordingLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  return { log: pino({ level: 'info' }, { write: (line: string) => lines.push(line) }), lines };
}

/**
 * A data directory that does not exist yet, below a directory of the given mode (default: open to
 * the server's user). When the test ends, its server is stopped and everything is removed, also
 * what root had to put elsewhere.
 */
export async function makeDataDir(t: TestContext, parentMode = 0o755): Promise<string> {
  const parent = await realpath(await mkdtemp(join(tmpdir(), 'belfry-test-')));
  await chmod(parent, parentMode);
  const dataDir = join(parent, 'data');
  t.after(async () => {
    const pgdata = await realpath(join(dataDir, 'postgres')).catch(() => undefined);
    if (pgdata !== undefined) {
      const found = await readPidFile(pgdata);
      const { log } = createRecordingLog();
      if (found !== undefined) await stopPostmaster(found.pid, pgdata, log);
      await rm(dirname(pgdata), { recursive: true, force: true });
    }
    await rm(parent, { recursive: true, force: true });
  });
  return dataDir;
}

/** The process id of the running postmaster of `dataDir`. */
export async function runningPid(dataDir: string): Promise<number> {
  const pgdata = await realpath(join(dataDir, 'postgres'));
  const found = await readPidFile(pgdata);
  assert.ok(found !== undefined && (await isPostmaster(found.pid, pgdata)), 'no server runs');
  return found.pid;
}

/** The value in the first row and column. */
export async function queryValue(url: string, statement: string): Promise<unknown> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const result = await client.query<unknown[]>({ text: statement, rowMode: 'array' });
    return result.rows[0]?.[0];
  } finally {
    await client.end();
  }
}

/** Polls until `check` answers something other than undefined and false. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const value = await check().catch(() => undefined);
    if (value !== undefined && value !== false) return value;
    assert.ok(performance.now() < deadline, `not within 20 s: ${what}`);
    await delay(20);
  }
}

/** A Node process that runs `startEmbeddedPostgres`, in a process group of its own. */
export interface Starter {
  readonly process: ChildProcess;
  readonly pid: number;
  /** Resolves when it has started (or adopted) the server. */
  readonly started: Promise<{ url: string; adopted: boolean }>;
  /** Signals it (or its process group) and resolves when it has gone. */
  end(signal: NodeJS.Signals, whom?: 'process' | 'group'): Promise<void>;
}

export function spawnStarter(t: TestContext, dataDir: string): Starter {
  const embedded = new URL('../../src/store/embedded.ts', import.meta.url).href;
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(embedded)};
    import { pino } from 'pino';
    const server = await startEmbeddedPostgres({
      dataDir: ${JSON.stringify(dataDir)},
      log: pino({ level: 'silent' }),
    });
    console.log(JSON.stringify({ url: server.url, adopted: server.adopted }));
    setInterval(() => undefined, 60_000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: dirname(new URL(import.meta.url).pathname),
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { pid, stdout } = child;
  assert.ok(pid !== undefined);
  const exited = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return {
    process: child,
    pid,
    started: readStarted(stdout),
    async end(signal, whom = 'process') {
      process.kill(whom === 'group' ? -pid : pid, signal);
      await exited;
    },
  };
}

async function readStarted(
  stdout: NodeJS.ReadableStream,
): Promise<{ url: string; adopted: boolean }> {
  for await (const line of createInterface({ input: stdout })) {
    const value: unknown = JSON.parse(line);
    assert.ok(typeof value === 'object' && value !== null);
    assert.ok('url' in value && typeof value.url === 'string');
    assert.ok('adopted' in value && typeof value.adopted === 'boolean');
    return { url: value.url, adopted: value.adopted };
  }
  throw new Error('the starter ended without a server');
}

/** What the log of a data directory's server says. */
export async function readServerLog(dataDir: string): Promise<string> {
  return await readFile(join(dataDir, 'postgres.log'), 'utf8');
}
