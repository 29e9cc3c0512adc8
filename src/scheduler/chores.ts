import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../telemetry/log.ts';

/** Small regular upkeep. */
export interface Chores {
  start(): void;
  stop(): Promise<void>;
}

/** One chore: run again `everyMs` after its last run has ended. */
export interface Chore {
  readonly name: string;
  readonly everyMs: number;
  /** Before the first run, where that is to come sooner. */
  readonly firstAfterMs?: number;
  /**
   * One process at a time runs it, under a lease. Without: every process, so it must be safe in
   * several at once.
   */
  readonly lease?: true;
  /**
   * Shorter than a step may take, where two runs at once do no harm and nobody is to wait for the
   * lease of a process that has died. Default: that of all.
   */
  readonly leaseTtlMs?: number;
  run(turn: Turn): Promise<unknown>;
}

/** What a run may rely on. */
export interface Turn {
  /**
   * Asked before each bounded step of a long run; false: stop here. Renews the lease. A process
   * that pauses after it was told yes may find, when it wakes, that another has gone on: a step
   * must be harmless even then.
   */
  mayGoOn(): Promise<boolean>;
}

/** What the leases need of the store. */
export interface ChoreLeaseStore {
  acquire(name: string, owner: number, ttlMs: number): Promise<boolean>;
  renew(name: string, owner: number, ttlMs: number): Promise<boolean>;
  release(name: string, owner: number): Promise<void>;
}

export function createChores(options: {
  chores: readonly Chore[];
  leases: ChoreLeaseStore;
  /** Longer than a step of a chore takes. Others go on so long after a process has died. */
  leaseTtlMs: number;
  log: Logger;
}): Chores {
  const { chores, leases, leaseTtlMs, log } = options;
  const owner = randomInt(1, 2 ** 48 - 1);
  const stopped = new AbortController();
  let loops: Promise<void>[] = [];

  async function runUnderLease({
    name,
    run,
    leaseTtlMs: ttlMs = leaseTtlMs,
  }: Chore): Promise<void> {
    if (!(await leases.acquire(name, owner, ttlMs))) return;
    try {
      await run({
        mayGoOn: async () => !stopped.signal.aborted && (await leases.renew(name, owner, ttlMs)),
      });
    } finally {
      // Otherwise it lapses.
      await leases.release(name, owner).catch(() => undefined);
    }
  }

  async function loop(chore: Chore): Promise<void> {
    const mayGoOn = () => Promise.resolve(!stopped.signal.aborted);
    for (let waitMs = chore.firstAfterMs ?? chore.everyMs; ; waitMs = chore.everyMs) {
      await sleep(waitMs, undefined, { signal: stopped.signal }).catch(() => undefined);
      if (stopped.signal.aborted) return;
      try {
        await (chore.lease === true ? runUnderLease(chore) : chore.run({ mayGoOn }));
      } catch (err) {
        log.warn({ err, chore: chore.name }, 'a chore failed and is tried again later');
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
