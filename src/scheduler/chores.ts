import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../telemetry/log.ts';

/** Small regular upkeep. Every chore is bounded and may run in several processes at once. */
export interface Chores {
  start(): void;
  stop(): Promise<void>;
}

/** One chore: run again `everyMs` after its last run has ended. */
export interface Chore {
  readonly name: string;
  readonly everyMs: number;
  run(): Promise<unknown>;
}

export function createChores(options: { chores: readonly Chore[]; log: Logger }): Chores {
  const { chores, log } = options;
  const stopped = new AbortController();
  let loops: Promise<void>[] = [];

  async function loop({ name, everyMs, run }: Chore): Promise<void> {
    for (;;) {
      await sleep(everyMs, undefined, { signal: stopped.signal }).catch(() => undefined);
      if (stopped.signal.aborted) return;
      try {
        await run();
      } catch (err) {
        log.warn({ err, chore: name }, 'a chore failed and is tried again later');
      }
    }
  }

  return {
    start() {
      loops = chores.map(loop);
    },
    async stop() {
      stopped.abort();
      await Promise.all(loops);
    },
  };
}
