import type { DestinationBook } from '../core/destination.ts';
import { createBreaker, type BreakerStore } from '../scheduler/breaker.ts';
import { createAdmissions } from '../scheduler/admissions.ts';
import {
  createDestinationLanes,
  type DestinationLaneStore,
} from '../scheduler/destinationLanes.ts';
import { createLanes, type LaneStore } from '../scheduler/lanes.ts';
import { createPulls, type Pulls, type PullingScheduler } from '../scheduler/pulls.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What timers of a process may wait for: their project, and their destination. */
export function createWaiting(options: {
  stores: {
    readonly projects: LaneStore;
    readonly breakers: BreakerStore;
    readonly destinations: DestinationLaneStore;
    /** Processes that fire timers, in the order of ids. */
    readonly living: () => Promise<readonly number[]>;
  };
  book: DestinationBook;
  /** Failures in a row that open a breaker; 0 for none. */
  breakerFailures: number;
  disableAfterMs: number;
  take: Parameters<typeof createAdmissions>[0]['take'];
  owner: () => number | undefined;
  lookAheadMs: number;
  /** The database's clock, at most. */
  nowMs: () => number;
  monotonicMs: () => number;
  log: Logger;
  metrics: Metrics;
  deliverer: {
    places(destination: { projectId: number; origin: string }): number;
    partCrowds(): void;
  };
  scheduler: () => PullingScheduler & { holdUp(): void };
  onReleased: (nextAtMs: number) => void;
}) {
  const { stores, deliverer, scheduler } = options;
  const projects = createLanes({
    ...options,
    store: stores.projects,
    onClosed: () => scheduler().holdUp(),
  });
  const lanes = createDestinationLanes({
    ...options,
    store: stores.destinations,
    onLimited: () => (scheduler().holdUp(), pulls.kick()),
  });
  const admissions = createAdmissions({
    ...options,
    living: stores.living,
    onFreed: (destination) => pulls.freed(destination),
  });
  const breaker = createBreaker({ ...options, store: stores.breakers, lanes });
  const pulls: Pulls = createPulls({
    ...options,
    lanes,
    admissions,
    scheduler: {
      roomToPull: () => scheduler().roomToPull(),
      pull: (lane, reserved) => scheduler().pull(lane, reserved),
      probe: (laneIds, againInMs) => scheduler().probe(laneIds, againInMs),
    },
    places: deliverer.places,
    partCrowds: deliverer.partCrowds,
    isProjectPaused: projects.isPaused,
  });
  return {
    /** What the scheduler asks before it starts a timer. */
    judged: { lanes: projects, destinations: { lanes, admissions, breaker } },
    pulls,
    refresh: () => Promise.all([projects.refresh(), lanes.refresh()]),
    work: projects.work,
    countProcesses: admissions.refresh,
    laneCounts() {
      const all = lanes.all();
      const closed = all.filter(lanes.isClosedAt).length;
      return { limited: all.length - closed, closed };
    },
  };
}
