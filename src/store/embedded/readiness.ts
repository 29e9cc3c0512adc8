import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import type { Logger } from 'pino';
import { DATABASE, SUPERUSER } from './cluster.ts';
import { SOCKET_PORT } from './places.ts';
import type { Server } from './server.ts';
import { codeOf, hasCode } from './systemError.ts';

/** Crash recovery replays at most about max_wal_size (2 GB): seconds, on a slow disk a minute. */
const READY_MS_MAX = 300_000;
const POLL_MS = 25;
const CONNECT_MS_MAX = 2_000;
/** CREATE DATABASE writes 8 MB and syncs it. */
const STATEMENT_MS_MAX = 30_000;
const PROGRESS_LOG_MS = 10_000;

/**
 * Waits until `server` takes a session in Belfry's database, which is created if it is missing.
 * Answers how the server ended if it did so instead: one found while it was shutting down does.
 *
 * Throws when the password is refused, after 5 minutes, and `signal.reason` when aborted.
 */
export async function waitUntilReady(
  server: Server,
  password: string,
  log: Logger,
  signal: AbortSignal | undefined,
): Promise<'ready' | { ended: string }> {
  const startedMs = performance.now();
  let nextLogMs = startedMs + PROGRESS_LOG_MS;
  using ending = watchEnd(server);
  for (;;) {
    signal?.throwIfAborted();
    const problem = await tryDatabase(server, password);
    if (problem === undefined) return 'ready';
    if (codeOf(problem)?.startsWith('28') === true) {
      throw new Error(
        `PostgreSQL (process ${server.pid}) refuses Belfry's password, which is in its data ` +
          'directory (belfry.password): was it changed by hand?',
        { cause: problem },
      );
    }
    if (ending.how !== undefined) return { ended: ending.how };
    const nowMs = performance.now();
    if (nowMs - startedMs > READY_MS_MAX) {
      throw new Error(
        `PostgreSQL (process ${server.pid}) is not ready after ${READY_MS_MAX / 1000} s`,
        { cause: problem },
      );
    }
    if (nowMs > nextLogMs) {
      nextLogMs += PROGRESS_LOG_MS;
      log.info(
        { serverPid: server.pid, problem: messageOf(problem) },
        'still waiting for PostgreSQL',
      );
    }
    await delay(POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
}

function watchEnd(server: Server): { readonly how: string | undefined } & Disposable {
  const watching = new AbortController();
  let how: string | undefined;
  server.gone(watching.signal).then(
    (words) => (how = words),
    () => undefined,
  );
  return {
    get how() {
      return how;
    },
    [Symbol.dispose]: () => watching.abort(),
  };
}

async function tryDatabase(server: Server, password: string): Promise<unknown> {
  try {
    await runStatement(server, password, DATABASE, 'SELECT 1');
    return undefined;
  } catch (err) {
    if (!hasCode(err, '3D000')) return err;
  }
  try {
    await runStatement(server, password, 'postgres', `CREATE DATABASE ${DATABASE}`);
    return undefined;
  } catch (err) {
    return err;
  }
}

async function runStatement(
  server: Server,
  password: string,
  database: string,
  statement: string,
): Promise<void> {
  const client = new Client({
    host: server.socketDir,
    port: SOCKET_PORT,
    user: SUPERUSER,
    password,
    database,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    query_timeout: STATEMENT_MS_MAX,
  });
  // Errors of the connection itself also reject the calls below.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function messageOf(problem: unknown): string {
  return problem instanceof Error ? problem.message : String(problem);
}
