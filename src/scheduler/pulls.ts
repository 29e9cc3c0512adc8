import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../telemetry/log.ts';
import type { Admissions } from './admissions.ts';
import type { Destination, DestinationLanes, KnownLane } from './destinationLanes.ts';
import type { Admission } from './holdings.ts';

/** Who holds the timers that are pulled; the scheduler. */
export interface PullingScheduler {
  /** Rows that it may take in now; 0 where it takes nothing. */
  roomToPull(): number;
  /** Due timers of a lane, one for each admission at the most; resolves with how many. */
  pull(lane: number, admissions: readonly Admission[]): Promise<number>;
  /** The first due timer of each of these closed lanes, if no other process has it. */
  probe(lanes: readonly number[], againInMs: number): Promise<number>;
}

/**
 * Timers leave the lanes of destinations by being pulled: each process claims out of each lane as many as
 * it has room, places at the destination, permits and tokens for. So what waits costs nothing, none comes
 * in vain, and no process is needed for it. A lane in which nothing is left is opened. Out of one that is
 * closed goes one at a time, to see whether its destination answers.
 */
export interface Pulls {
  start(): void;
  stop(): Promise<void>;
  /** Something may be pulled now: look soon. */
  kick(): void;
  /** A permit of this destination is free: look soon, if others wait there. */
  freed(destination: Destination): void;
}

const everyMs = 50;
const idleEveryMs = 100;
/** Between two looks that were asked for. */
const leastMs = 5;
const rowsMax = 500;
const expiredEveryMs = 1_000;
const retryMs = 500;
const probesEveryMs = 200;
/** What comes of a probe says when the next may leave; this is for one whose process dies. */
const probeAgainInMs = 60_000;

export function createPulls(options: {
  lanes: DestinationLanes;
  admissions: Admissions;
  scheduler: PullingScheduler;
  /** How many more a destination can take before a crowd waits there. */
  places: (destination: { projectId: number; origin: string }) => number;
  /** Ends what waits beyond a crowd at slow destinations. */
  partCrowds: () => void;
  isProjectPaused: (projectId: number) => boolean;
  /** The database's clock, at most. */
  nowMs: () => number;
  monotonicMs: () => number;
  log: Logger;
}): Pulls {
  const { lanes, admissions, scheduler, places, partCrowds, isProjectPaused } = options;
  const { nowMs, monotonicMs, log } = options;
  const stopped = new AbortController();
  let expiredAtMs = -Infinity;
  let loop: Promise<void> | undefined;
  let wake: (() => void) | undefined;
  let isKicked = false;
  let turns = 0;
  let probedAtMs = -Infinity;

  async function run(): Promise<void> {
    while (!stopped.signal.aborted) {
      await pause();
      if (stopped.signal.aborted) return;
      partCrowds();
      try {
        await turn();
      } catch (err) {
        log.warn({ err, retryInMs: retryMs }, 'could not pull timers out of lanes');
        await sleep(retryMs, undefined, { signal: stopped.signal }).catch(() => undefined);
      }
    }
  }

  /** Until the next look is due; where nobody waits in lanes, that is only for crowds. */
  async function pause(): Promise<void> {
    if (isKicked) {
      isKicked = false;
      await sleep(leastMs, undefined, { signal: stopped.signal }).catch(() => undefined);
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, lanes.all().length === 0 ? idleEveryMs : everyMs);
      function done(): void {
        clearTimeout(timer);
        wake = undefined;
        resolve();
      }
      wake = done;
    });
  }

  function kick(): void {
    if (wake === undefined) isKicked = true;
    else wake();
  }

  /** Each lane once, beginning with another every time: what they compete for is the room. */
  async function turn(): Promise<void> {
    const all = lanes.all();
    if (all.length === 0) return;
    if (monotonicMs() - expiredAtMs >= expiredEveryMs) {
      expiredAtMs = monotonicMs();
      await lanes.releaseExpired(all);
    }
    const first = turns++ % all.length;
    for (const lane of [...all.slice(first), ...all.slice(0, first)]) {
      if (stopped.signal.aborted) return;
      if (lane.id !== undefined) await pull(lane, lane.id);
    }
    await probe(all);
  }

  async function probe(all: readonly KnownLane[]): Promise<void> {
    const now = nowMs();
    if (monotonicMs() - probedAtMs < probesEveryMs) return;
    const due = all.flatMap((lane) => {
      const mayLeave = lane.closedUntilMs > now && lane.probeAtMs <= now;
      if (!mayLeave || lanes.isPausedAt(lane) || isProjectPaused(lane.projectId)) return [];
      return lane.id === undefined ? [] : [lane.id];
    });
    const some = due.slice(0, Math.min(scheduler.roomToPull(), rowsMax));
    if (some.length === 0) return;
    probedAtMs = monotonicMs();
    await scheduler.probe(some, probeAgainInMs);
  }

  async function pull(lane: KnownLane, id: number): Promise<void> {
    if (isProjectPaused(lane.projectId) || lanes.isClosedAt(lane)) return;
    const most = Math.min(places(lane), scheduler.roomToPull(), rowsMax);
    if (most < 1) return;
    const reserved = await admissions.reserve(lane, most);
    if (reserved.length === 0) return;
    let count = 0;
    try {
      count = await scheduler.pull(id, reserved);
    } finally {
      admissions.giveBack(lane, reserved.slice(count));
    }
    if (count < reserved.length) await lanes.open(lane);
  }

  return {
    start() {
      loop ??= run();
    },
    async stop() {
      stopped.abort();
      wake?.();
      await loop;
    },
    kick,
    freed(destination) {
      if (lanes.laneAt(destination) !== undefined) kick();
    },
  };
}
