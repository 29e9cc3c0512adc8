import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, type QueryResult } from 'pg';
import packageJson from '../package.json' with { type: 'json' };
import { undoAtExit } from './harness/cleanup.ts';
import { freePort } from './harness/port.ts';
import { parentOf, type Metered } from './harness/processUsage.ts';

const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 60_000;
const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * The service under test, started through the real command line with an embedded Postgres of its
 * own, in a temporary data directory that survives `stop` and `start` and goes with `dispose`.
 * Everything that the bench knows of Belfry's inside is in this file and in `store.ts`.
 */
export interface Belfry extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly dataDir: string;
  readonly databaseUrl: string;
  /** What {@link startMeter} needs to tell the service's CPU from its Postgres's. */
  readonly metered: { readonly belfry: Metered; readonly postgres: Metered };
  /** Runs one statement on a connection of the bench's own. */
  query(sql: string, values?: unknown[]): Promise<QueryResult>;
  /** A further connection, which the caller ends before `stop`. */
  connect(): Promise<Client>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** `settings`: over those that every scenario has. */
export async function startBelfry(
  settings: Readonly<Record<string, string>> = {},
): Promise<Belfry> {
  const dataDir = mkdtempSync(join(tmpdir(), 'belfry-bench-'));
  // As root the service runs Postgres as another user, who must be able to pass through.
  chmodSync(dataDir, 0o755);
  const state = { pid: 0, port: 0, postmaster: 0 };
  const forget = undoAtExit(() => {
    kill(state.pid, 'SIGKILL');
    kill(state.postmaster, 'SIGQUIT');
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });
  let child: ChildProcess | undefined;
  let client: Client | undefined;

  const connect = async () => {
    const connection = new Client({ connectionString: connectionUrl(dataDir) });
    // Stopping Postgres ends its sessions; what matters is reported by the next query.
    connection.on('error', () => {});
    await connection.connect();
    return connection;
  };
  const start = async () => {
    state.port = await freePort();
    child = spawnService({ dataDir, port: state.port, settings });
    state.pid = child.pid ?? 0;
    child.once('exit', () => {
      state.pid = 0;
    });
    await untilReady(child, { dataDir, port: state.port });
    client = await connect();
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    state.postmaster = parentOf(rows[0]?.pid ?? 0);
  };
  const stop = async () => {
    if (child === undefined) return;
    const stopping = child;
    child = undefined;
    await client?.end();
    client = undefined;
    await stopService(stopping, dataDir);
    state.postmaster = 0;
  };

  await start();
  return {
    dataDir,
    get databaseUrl() {
      return connectionUrl(dataDir);
    },
    get pid() {
      return state.pid;
    },
    get port() {
      return state.port;
    },
    get metered() {
      return {
        belfry: { kind: 'process', pid: state.pid },
        postgres: { kind: 'tree', pid: state.postmaster },
      } as const;
    },
    query: async (sql, values) => {
      if (client === undefined) throw new Error('the service is stopped');
      return client.query(sql, values);
    },
    connect,
    start,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
      forget();
      rmSync(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    },
  };
}

/** Logs at the default level, into a file: what it costs in production is part of the measure. */
function spawnService({
  dataDir,
  port,
  settings,
}: {
  dataDir: string;
  port: number;
  settings: Readonly<Record<string, string>>;
}): ChildProcess {
  const log = openSync(logFile(dataDir), 'a');
  return spawn(process.execPath, [...commandLine(), 'serve'], {
    cwd: ROOT,
    stdio: ['ignore', log, log],
    // A session of its own: see startChild.
    detached: true,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      HOST: '127.0.0.1',
      PORT: String(port),
      DATA_DIR: dataDir,
      ALLOW_TARGETS: '127.0.0.0/8',
      ...settings,
    },
  });
}

/** What `npm run belfry` gives to Node: its own arguments, and the program. */
function commandLine(): string[] {
  return packageJson.scripts.belfry.split(' ').slice(1);
}

async function untilReady(
  child: ChildProcess,
  { dataDir, port }: { dataDir: string; port: number },
): Promise<void> {
  const deadlineMs = Date.now() + START_DEADLINE_MS;
  while (Date.now() < deadlineMs && child.exitCode === null && child.signalCode === null) {
    const answer = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined);
    if (answer?.status === 200) return;
    await sleep(50);
  }
  throw new Error(`the service did not become ready; the end of its log:\n${logTail(dataDir)}`);
}

async function stopService(child: ChildProcess, dataDir: string): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) {
    throw new Error(`the service died; the end of its log:\n${logTail(dataDir)}`);
  }
  const exited = once(child, 'exit', { signal: AbortSignal.timeout(STOP_DEADLINE_MS) });
  child.kill('SIGTERM');
  await exited;
}

function connectionUrl(dataDir: string): string {
  const connection: unknown = JSON.parse(readFileSync(join(dataDir, 'connection.json'), 'utf8'));
  if (typeof connection !== 'object' || connection === null || !('url' in connection)) {
    throw new Error(`${dataDir}/connection.json has no url`);
  }
  return String(connection.url);
}

function logFile(dataDir: string): string {
  return join(dataDir, 'service.log');
}

function logTail(dataDir: string): string {
  return readFileSync(logFile(dataDir), 'utf8').split('\n').slice(-20).join('\n');
}

function kill(pid: number, signal: NodeJS.Signals): void {
  if (pid === 0) return;
  try {
    process.kill(pid, signal);
  } catch {
    // Already gone.
  }
}
