import { setTimeout as sleep } from 'node:timers/promises';
import type { TimerId } from '../core/ids.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { DestinationLanes } from './destinationLanes.ts';
import type { Lanes } from './lanes.ts';

type Fence = Pick<ClaimedTimer, 'id' | 'owner' | 'claim'>;

/** Where a timer is to wait: in a lane of its project, or in that of its destination. */
export type Place = { readonly lane: number } | { readonly origin: string };

export interface Parked {
  readonly timer: ClaimedTimer;
  readonly place: Place;
}

/** How a process lets go of timers that it holds and has not started. */
export interface Parking {
  /**
   * Gives timers back, as often as it takes to know that it is done. If this process dies or loses
   * its identity before, whoever sweeps next takes them over.
   */
  release(timers: readonly Fence[], triesMax?: number): Promise<void>;
  /** Into their lanes. What cannot be parked, perhaps because the lane is open again, is given back. */
  park(parked: readonly Parked[]): Promise<void>;
  /** The same, together with all others that come within this turn. */
  parkSoon(parked: Parked): void;
}

const releaseRetryMs = 500;
const rowsMax = 500;

export function createParking(options: {
  store: { release(timers: readonly Fence[]): Promise<unknown> };
  lanes: Pick<Lanes, 'park'>;
  destinations: Pick<DestinationLanes, 'park'>;
  owner: () => number | undefined;
  log: Logger;
  metrics: Metrics;
}): Parking {
  const { store, lanes, destinations, owner, log, metrics } = options;
  let gathered: Parked[] = [];

  async function release(timers: readonly Fence[], triesMax = Infinity): Promise<void> {
    for (let attempt = 1; attempt <= triesMax; attempt++) {
      const ours = timers.filter((timer) => timer.owner === owner());
      if (ours.length === 0) return;
      try {
        await store.release(ours);
        return;
      } catch (err) {
        log.warn({ err, timers: timers.length }, 'could not give timers back');
        await sleep(releaseRetryMs);
      }
    }
  }

  async function parkSome(parked: readonly Parked[]): Promise<void> {
    const inLanes = parked.flatMap(({ timer, place }) =>
      'lane' in place ? [{ ...fenceOf(timer), lane: place.lane }] : [],
    );
    const atDestinations = parked.flatMap(({ timer, place }) =>
      'origin' in place
        ? [{ ...fenceOf(timer), projectId: timer.projectId, origin: place.origin }]
        : [],
    );
    const done = new Set<TimerId>();
    try {
      if (inLanes.length > 0) {
        for (const id of await lanes.park(inLanes)) done.add(id);
        metrics.parked.inc({ lane: 'project' }, done.size);
      }
      if (atDestinations.length > 0) {
        const parkedThere = await destinations.park(atDestinations);
        for (const id of parkedThere) done.add(id);
        metrics.parked.inc({ lane: 'destination' }, parkedThere.size);
      }
    } catch (err) {
      log.warn({ err, timers: parked.length }, 'could not park timers');
    }
    const others = parked.flatMap(({ timer }) => (done.has(timer.id) ? [] : [timer]));
    if (others.length > 0) await release(others);
  }

  async function park(parked: readonly Parked[]): Promise<void> {
    for (let from = 0; from < parked.length; from += rowsMax) {
      await parkSome(parked.slice(from, from + rowsMax));
    }
  }

  return {
    release,
    park,
    parkSoon(parked) {
      gathered.push(parked);
      if (gathered.length > 1) return;
      queueMicrotask(() => {
        const all = gathered;
        gathered = [];
        void park(all);
      });
    },
  };
}

function fenceOf({ id, owner, claim }: ClaimedTimer): Fence {
  return { id, owner, claim };
}
