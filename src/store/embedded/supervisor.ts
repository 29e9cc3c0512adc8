import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Server } from './server.ts';

const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 10_000;
/** A server that ran this long was healthy: its death starts the backoff afresh. */
const HEALTHY_MS = 60_000;

/** Keeps a server running until it is released. */
export interface Supervisor {
  /**
   * Ends the supervision and leaves the server as it is. Idempotent; resolves when no restart is
   * under way any more, with the server of last.
   */
  release(): Promise<Server>;
}

/**
 * Watches `first`, and each time that the server dies by itself calls `restart` until it succeeds:
 * after 100 ms, doubling to 10 s until a server has run for a minute. `restart` must stop trying
 * when its signal is aborted.
 */
export function superviseServer(options: {
  first: Server;
  restart: (signal: AbortSignal) => Promise<Server>;
  log: Logger;
}): Supervisor {
  const { first, restart, log } = options;
  const released = new AbortController();
  const { signal } = released;
  let server = first;
  let backoffMs = BACKOFF_MS_MIN;

  async function supervise(): Promise<never> {
    for (;;) {
      const sinceMs = performance.now();
      const how = await server.gone(signal);
      log.error({ serverPid: server.pid }, `PostgreSQL died (${how}): starting it again`);
      if (performance.now() - sinceMs > HEALTHY_MS) backoffMs = BACKOFF_MS_MIN;
      server = await restartUntilRunning();
      log.info({ serverPid: server.pid }, 'PostgreSQL runs again');
    }
  }

  async function restartUntilRunning(): Promise<Server> {
    for (;;) {
      await delay(backoffMs, undefined, { signal, ref: false });
      backoffMs = Math.min(backoffMs * 2, BACKOFF_MS_MAX);
      try {
        return await restart(signal);
      } catch (err) {
        signal.throwIfAborted();
        log.error({ err, nextTryMs: backoffMs }, 'PostgreSQL could not be started again');
      }
    }
  }

  const ended = supervise().catch((err: unknown) => {
    if (!signal.aborted) log.fatal({ err }, 'the supervision of PostgreSQL ended by an error');
  });

  return {
    async release() {
      released.abort();
      await ended;
      return server;
    },
  };
}
