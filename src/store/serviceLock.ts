import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../telemetry/log.ts';
import { connectionConfig } from './database.ts';

/** Held while this is the one service of an embedded database. */
export interface ServiceLock {
  release(): Promise<void>;
}

const lockKey = 4_714_632_006;
const patienceMs = 10_000;
const retryMs = 200;

/**
 * One service per data directory, by an advisory lock of a session of its own. A service that was
 * killed has its session ended by the server, so its lock is waited for a while. When the session
 * is lost (the server restarted) the lock is taken again.
 * @throws Error when another service holds it.
 */
export async function lockService(options: {
  url: string;
  dataDir: string;
  log: Logger;
}): Promise<ServiceLock> {
  const { url, dataDir, log } = options;
  let client: pg.Client | undefined;
  let released = false;

  async function acquire(): Promise<void> {
    const giveUpAtMs = Date.now() + patienceMs;
    const session = new pg.Client(
      connectionConfig({ url, transactionPooler: false, statementTimeoutMs: patienceMs }),
    );
    client = session;
    session.on('error', () => undefined);
    await session.connect();
    for (;;) {
      const { rows } = await session.query<{ locked: boolean }>(
        `SELECT pg_try_advisory_lock(${lockKey}) AS locked`,
      );
      if (rows[0]?.locked === true) break;
      if (Date.now() > giveUpAtMs) {
        await session.end();
        throw new Error(`another Belfry service is running on ${dataDir}`);
      }
      await sleep(retryMs);
    }
    session.on('end', () => void reacquire());
  }

  async function reacquire(): Promise<void> {
    while (!released) {
      try {
        return await acquire();
      } catch (err) {
        log.debug({ err }, 'the service lock is not back yet');
        await sleep(retryMs);
      }
    }
  }

  await acquire();
  return {
    async release() {
      released = true;
      await client?.end().catch(() => undefined);
    },
  };
}
