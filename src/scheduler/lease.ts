import { randomInt } from 'node:crypto';
import type { MachineClock } from '../core/clock.ts';
import type { Logger } from '../telemetry/log.ts';
import type { DatabaseClock } from './databaseClock.ts';

/** What the lease needs of the store. */
export interface HeartbeatStore {
  register(id: number, ttlMs: number): Promise<void>;
  /** The database's clock at the renewal; undefined when this process was declared dead. */
  renew(id: number, ttlMs: number): Promise<number | undefined>;
  retire(id: number): Promise<void>;
}

/**
 * The lease of this process on all timers that it owns: one heartbeat row.
 *
 * Modes: `none` (not registered, or declared dead: nothing may start, a new identity is registered),
 * `held` (deliveries may start until trust ends), `stopped`.
 *
 * The arithmetic. A renewal sent at s is granted at g ≥ s until g + TTL by the database's clock.
 * Here it counts only until s + TTL − margin, by the monotonic and by the wall clock, whichever is
 * earlier: the monotonic one stands still while a machine is suspended, the wall clock can be set
 * back. So trust ends at least a margin before anybody can declare this process dead. When the two
 * clocks have moved apart by more than 100 ms since the renewal, one of them stepped and neither is
 * trusted before the next renewal.
 */
export interface Lease {
  start(): Promise<void>;
  /** Ends renewing; `retire` gives the identity up. Both tolerate repetition. */
  stop(): Promise<void>;
  retire(): Promise<void>;
  /** The identity under which timers are claimed; undefined while there is none. */
  owner(): number | undefined;
  /** Whether an attempt may start now. */
  mayStart(): boolean;
  /** Milliseconds since the last renewal that was granted. */
  ageMs(): number;
}

const clocksApartMaxMs = 100;

/** How soon those who wait for the lease look whether it is held again. */
export const leaseRetryMs = 20;

export function createLease(options: {
  store: HeartbeatStore;
  clock: MachineClock;
  databaseClock: DatabaseClock;
  ttlMs: number;
  log: Logger;
  /** The identity is gone: others may take its timers over. */
  onLost: (owner: number) => void;
  /** Deliveries may start (again). */
  onHeld: () => void;
}): Lease {
  const { store, clock, databaseClock, ttlMs, log, onLost, onHeld } = options;
  const marginMs = ttlMs / 5;
  const renewEveryMs = ttlMs / 5;
  let owner: number | undefined;
  let trustUntil = { monotonicMs: -Infinity, wallMs: -Infinity };
  let apartMs = 0;
  let renewedAtMs = -Infinity;
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | undefined;
  let stopped = false;

  function granted(sentMonotonicMs: number, sentWallMs: number): void {
    renewedAtMs = sentMonotonicMs;
    apartMs = sentWallMs - sentMonotonicMs;
    trustUntil = {
      monotonicMs: sentMonotonicMs + ttlMs - marginMs,
      wallMs: sentWallMs + ttlMs - marginMs,
    };
  }

  function lose(): void {
    if (owner === undefined) return;
    const lost = owner;
    owner = undefined;
    trustUntil = { monotonicMs: -Infinity, wallMs: -Infinity };
    log.warn(
      { owner: lost },
      'declared dead by another process: timers held by this one are given up',
    );
    onLost(lost);
  }

  async function beat(): Promise<void> {
    const monotonicMs = clock.monotonicMs();
    const wallMs = clock.wallMs();
    if (owner === undefined) {
      const id = randomInt(1, 2 ** 48 - 1);
      await store.register(id, ttlMs);
      owner = id;
    } else {
      const databaseMs = await store.renew(owner, ttlMs);
      if (databaseMs === undefined) {
        lose();
        return beat();
      }
      databaseClock.sample(databaseMs, monotonicMs, clock.monotonicMs());
    }
    granted(monotonicMs, wallMs);
    onHeld();
  }

  function beatOnce(): Promise<void> {
    underWay ??= beat().finally(() => {
      underWay = undefined;
    });
    return underWay;
  }

  function loop(): void {
    if (stopped) return;
    timer = setTimeout(() => {
      beatOnce()
        .catch((err: unknown) => log.warn({ err }, 'could not renew the heartbeat'))
        .finally(loop);
    }, renewEveryMs);
  }

  return {
    async start() {
      await beatOnce();
      await beatOnce();
      loop();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await underWay?.catch(() => undefined);
    },
    async retire() {
      if (owner === undefined) return;
      const last = owner;
      owner = undefined;
      trustUntil = { monotonicMs: -Infinity, wallMs: -Infinity };
      await store.retire(last);
    },
    owner: () => owner,
    mayStart() {
      const monotonicMs = clock.monotonicMs();
      const wallMs = clock.wallMs();
      if (monotonicMs >= trustUntil.monotonicMs || wallMs >= trustUntil.wallMs) return false;
      if (Math.abs(wallMs - monotonicMs - apartMs) <= clocksApartMaxMs) return true;
      // One of the clocks stepped: measure anew first.
      trustUntil = { monotonicMs: -Infinity, wallMs: -Infinity };
      beatOnce().catch(() => undefined);
      return false;
    },
    ageMs: () => clock.monotonicMs() - renewedAtMs,
  };
}
