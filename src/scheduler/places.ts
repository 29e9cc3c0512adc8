import type { TimerId } from '../core/ids.ts';
import { originOf } from '../core/target.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import { noBreaker } from './breaker.ts';
import type { DestinationLanes } from './destinationLanes.ts';
import type { Admission, Holding } from './holdings.ts';
import type { Lanes } from './lanes.ts';
import type { Place } from './parking.ts';

/** Whether a timer may start, or where it has to wait: the pause of its project comes first. */
export interface Places {
  /** Undefined when it may ask its destination to be admitted. */
  placeOf(timer: ClaimedTimer): Place | undefined;
  /** Who has been admitted need not wait for others, only for what is closed to all. */
  placeOfHolding(holding: Holding): Place | undefined;
  /** Nothing is closed to it. */
  mayStartAt(holding: Holding): boolean;
}

export function createPlaces(
  lanes: Pick<Lanes, 'laneOf'>,
  destinations: Pick<DestinationLanes, 'waitsAt' | 'isClosed'>,
): Places {
  function isClosedTo({ timer, admission }: Holding): boolean {
    return admission?.isProbe !== true && destinations.isClosed(timer);
  }

  function placeOf(timer: ClaimedTimer): Place | undefined {
    const lane = lanes.laneOf(timer);
    if (lane !== undefined) return { lane };
    const origin = destinations.waitsAt(timer);
    return origin === undefined ? undefined : { origin };
  }

  return {
    placeOf,
    placeOfHolding(holding) {
      const { timer, admission } = holding;
      if (admission === undefined) return placeOf(timer);
      const lane = lanes.laneOf(timer);
      if (lane !== undefined) return { lane };
      return isClosedTo(holding) ? { origin: originOf(timer.request.url) } : undefined;
    },
    mayStartAt: (holding) => lanes.laneOf(holding.timer) === undefined && !isClosedTo(holding),
  };
}

const unlimited: Admission = { isProbe: false, end: () => undefined };

/** Where all timers may start. */
export const noLanes = { laneOf: () => undefined, park: () => Promise.resolve([]) };
export const noDestinations = {
  lanes: {
    waitsAt: () => undefined,
    isClosed: () => false,
    park: () => Promise.resolve(new Set<TimerId>()),
    crowded: () => [],
    parkedByClaim: () => undefined,
  },
  admissions: { admit: () => unlimited },
  breaker: noBreaker,
};
