/**
 * Bounds deliveries under way, in all and per destination (origin), so that nothing ever queues
 * inside the HTTP client: what waits there sees neither its deadline nor a recall.
 */
export interface Destinations {
  /** Calls `start` once there is a slot: at once if there is one now, else in the order of asking. */
  acquire(origin: string, start: () => void): void;
  /** Gives a slot back; the next one that waits gets it. */
  release(origin: string): void;
  /** Slots in use. */
  active(): number;
}

interface Destination {
  active: number;
  /** First in, first out; `head` is the next one. */
  waiting: (() => void)[];
  head: number;
  /** Stands in the line of those that wait for a slot of all. */
  lined: boolean;
}

export function createDestinations(bounds: {
  perDestination: number;
  total: number;
}): Destinations {
  const { perDestination, total } = bounds;
  const destinations = new Map<string, Destination>();
  // Destinations with work and a slot of their own free, waiting for one of all, in turn: a crowd
  // at one destination gets one slot at a time like everybody else.
  const line: Destination[] = [];
  let active = 0;
  let serving = false;

  function take(destination: Destination): void {
    const start = destination.waiting[destination.head];
    if (start === undefined) return;
    destination.head += 1;
    if (destination.head > 1_024 && destination.head * 2 > destination.waiting.length) {
      destination.waiting.splice(0, destination.head);
      destination.head = 0;
    }
    destination.active += 1;
    active += 1;
    start();
  }

  function hasWork(destination: Destination): boolean {
    return destination.head < destination.waiting.length && destination.active < perDestination;
  }

  /** To the end of the line: also whoever has just had or freed a slot waits for its turn. */
  function lineUp(destination: Destination): void {
    if (destination.lined || !hasWork(destination)) return;
    destination.lined = true;
    line.push(destination);
  }

  function serveLine(): void {
    // `start` may release at once (recalled meanwhile): the loop below goes on, the stack does not
    // grow.
    if (serving) return;
    serving = true;
    try {
      while (active < total) {
        const next = line.shift();
        if (next === undefined) break;
        next.lined = false;
        if (hasWork(next)) take(next);
        lineUp(next);
      }
    } finally {
      serving = false;
    }
  }

  return {
    acquire(origin, start) {
      let destination = destinations.get(origin);
      if (destination === undefined) {
        destination = { active: 0, waiting: [], head: 0, lined: false };
        destinations.set(origin, destination);
      }
      destination.waiting.push(start);
      lineUp(destination);
      serveLine();
    },
    release(origin) {
      const destination = destinations.get(origin);
      if (destination === undefined) return;
      destination.active -= 1;
      active -= 1;
      if (destination.active === 0 && destination.head >= destination.waiting.length) {
        destinations.delete(origin);
      }
      lineUp(destination);
      serveLine();
    },
    active: () => active,
  };
}
