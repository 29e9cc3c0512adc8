import { chown, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { socketAnswers } from './connectionFile.ts';
import { removeLeftovers, temporarySibling } from './leftovers.ts';
import { ensureSocketDir, SOCKET_PORT, socketPath } from './places.ts';
import { stopPostmaster } from './postmasterProcess.ts';
import { waitUntilReady } from './readiness.ts';
import { findServer, launchServer, type Server } from './server.ts';
import { readServerLogTail, serverLogBytes } from './serverLog.ts';
import { renderConfiguration } from './settings.ts';

/** How long sessions of a dead server may keep its shared memory before we give up. */
const REMNANTS_MS_MAX = 60_000;
const REMNANTS_POLL_MS = 250;

/** What PostgreSQL says when sessions of a killed postmaster have not ended yet. */
const REMNANTS = /pre-existing shared memory block|lock file "[^"]*" already exists/;

/** One cluster, with everything that it takes to run it. */
export interface Cluster {
  readonly pgdata: string;
  readonly socketDir: string;
  readonly logFile: string;
  readonly password: string;
  readonly binaries: Binaries;
  readonly account: Account;
  readonly extraSettings: Readonly<Record<string, string>>;
  readonly log: Logger;
}

/**
 * Answers the cluster's server, ready for sessions: the one that runs, also when it is still
 * starting (one that is shutting down is waited for), else a new one, which recovers by itself
 * after a crash. Call it under the start lock.
 *
 * Throws with the last lines of the server's log when it does not start, and `signal.reason` when
 * aborted; a server launched meanwhile is stopped again.
 */
export async function adoptOrLaunch(
  cluster: Cluster,
  signal: AbortSignal | undefined,
): Promise<Server> {
  const deadline = performance.now() + REMNANTS_MS_MAX;
  for (;;) {
    signal?.throwIfAborted();
    const running = await findServer(cluster.pgdata, cluster.socketDir);
    if (running !== undefined) {
      if ((await waitUntilReady(running, cluster.password, cluster.log, signal)) === 'ready') {
        return running;
      }
      continue;
    }

    const logBytes = await serverLogBytes(cluster.logFile);
    const { server, ended } = await launch(cluster, signal);
    if (ended === undefined) return server;
    const tail = await readServerLogTail(cluster.logFile, logBytes);
    if (!REMNANTS.test(tail) || performance.now() > deadline) {
      throw new Error(
        `PostgreSQL did not start in ${cluster.pgdata}: ${ended}. ${cluster.logFile} ends:\n${tail}`,
      );
    }
    await delay(REMNANTS_POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
}

async function launch(
  cluster: Cluster,
  signal: AbortSignal | undefined,
): Promise<{ server: Server; ended?: string }> {
  await ensureSocketDir(cluster.socketDir, cluster.account);
  await clearSocket(cluster);
  await writeConfiguration(cluster);
  const server = await launchServer(cluster);
  try {
    const outcome = await waitUntilReady(server, cluster.password, cluster.log, signal);
    return outcome === 'ready' ? { server } : { server, ended: outcome.ended };
  } catch (err) {
    await stopPostmaster(server.pid, cluster.pgdata, cluster.log);
    throw err;
  }
}

/**
 * Removes the socket and its lock file that a killed server left: the directory is this cluster's
 * alone, and no server of it runs. If something answers there all the same, it is one that we
 * cannot see, in another container on the same volume, where nothing else would stop two servers
 * from writing to the same files.
 */
async function clearSocket({ socketDir, pgdata }: Cluster): Promise<void> {
  if (await socketAnswers(socketDir)) {
    throw new Error(
      `A PostgreSQL that this process cannot see answers on the socket in ${socketDir}: is ` +
        `${pgdata} in use by another container?`,
    );
  }
  await rm(socketPath(socketDir), { force: true });
  await rm(`${socketPath(socketDir)}.lock`, { force: true });
}

async function writeConfiguration(cluster: Cluster): Promise<void> {
  const { pgdata, account, socketDir, extraSettings, log } = cluster;
  const path = join(pgdata, 'postgresql.conf');
  await removeLeftovers(path, log);
  const partial = temporarySibling(path);
  const text = renderConfiguration({ socketDir, port: SOCKET_PORT, extra: extraSettings });
  await writeFile(partial, text, { mode: 0o600, flag: 'wx' });
  if (account.switching) await chown(partial, account.uid, account.gid);
  await rename(partial, path);
}
