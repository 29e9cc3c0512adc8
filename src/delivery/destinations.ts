/**
 * Bounds deliveries under way, in all and per destination (origin), so that nothing ever queues
 * inside the HTTP client: what waits there sees neither its deadline nor a recall.
 */
export interface Destinations {
  /** Calls `start` once there is a slot: at once if there is one now, else in the order of asking. */
  acquire(origin: string, start: () => void): Place;
  /** Gives a slot back; the next one that waits gets it. */
  release(origin: string): void;
  /** Waits no longer; nothing where it has started. */
  leave(origin: string, place: Place): void;
  /** How many may wait for a slot of one destination before they are a crowd: twice its slots. */
  readonly crowd: number;
  /** How many more it can take before a crowd waits. */
  places(origin: string): number;
  /**
   * Those where more than a crowd waits and that, by what they did in each of the last two quarters of a
   * second, need over three seconds for it. Asked several times a second.
   */
  slow(nowMs: number): string[];
  /** Slots in use. */
  active(): number;
}

/** Of one who waits for a slot. */
export interface Place {
  readonly start: () => void;
  isLeft: boolean;
}

interface Destination {
  readonly origin: string;
  active: number;
  /** First in, first out; `head` is the next one. Who has left is passed over. */
  waiting: Place[];
  head: number;
  left: number;
  /** Stands in the line of those that wait for a slot of all. */
  lined: boolean;
  /** Slots given back since `watchedFromMs`, which is null where no crowd waits. */
  released: number;
  watchedFromMs: number | null;
  /** Quarters of a second in a row in which it was slow. */
  slowLooks: number;
}

// A receiver that keeps up must not be taken for slow: parking and pulling costs a timer twice the CPU
// of PostgreSQL (some 80 → 156 to 174 µs) and a backlog a third of its pace. With one look and 1,000 ms, 2
// of 4 processes that started into a backlog of one destination did so; with these, none of 7.
const slowFromMs = 3_000;
const slowLooksLeast = 2;
/** A pause of this process alone is no sign of a slow receiver. */
const watchLeastMs = 250;

export function createDestinations(bounds: {
  perDestination: number;
  total: number;
}): Destinations {
  const { perDestination, total } = bounds;
  const crowd = 2 * perDestination;
  const destinations = new Map<string, Destination>();
  // Destinations with work and a slot of their own free, waiting for one of all, in turn: a crowd
  // at one destination gets one slot at a time like everybody else.
  const line: Destination[] = [];
  let active = 0;
  let serving = false;

  const waitingAt = ({ waiting, head, left }: Destination) => waiting.length - head - left;

  function next(destination: Destination): Place | undefined {
    for (;;) {
      const place = destination.waiting[destination.head];
      if (place === undefined) return undefined;
      destination.head += 1;
      if (!place.isLeft) return place;
      destination.left -= 1;
    }
  }

  function take(destination: Destination): void {
    const place = next(destination);
    if (place === undefined) return;
    if (destination.head > 1_024 && destination.head * 2 > destination.waiting.length) {
      destination.waiting.splice(0, destination.head);
      destination.head = 0;
    }
    // It cannot leave any more.
    place.isLeft = true;
    destination.active += 1;
    active += 1;
    place.start();
  }

  function hasWork(destination: Destination): boolean {
    return waitingAt(destination) > 0 && destination.active < perDestination;
  }

  function forgetIdle(destination: Destination): void {
    const { origin } = destination;
    if (destination.active > 0 || waitingAt(destination) > 0) return;
    if (destinations.get(origin) === destination) destinations.delete(origin);
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
        const first = line.shift();
        if (first === undefined) break;
        first.lined = false;
        if (hasWork(first)) take(first);
        else forgetIdle(first);
        lineUp(first);
      }
    } finally {
      serving = false;
    }
  }

  return {
    acquire(origin, start) {
      let destination = destinations.get(origin);
      if (destination === undefined) {
        destination = {
          origin,
          active: 0,
          waiting: [],
          head: 0,
          left: 0,
          lined: false,
          released: 0,
          watchedFromMs: null,
          slowLooks: 0,
        };
        destinations.set(origin, destination);
      }
      const place = { start, isLeft: false };
      destination.waiting.push(place);
      lineUp(destination);
      serveLine();
      return place;
    },
    release(origin) {
      const destination = destinations.get(origin);
      if (destination === undefined) return;
      destination.active -= 1;
      destination.released += 1;
      active -= 1;
      forgetIdle(destination);
      lineUp(destination);
      serveLine();
    },
    leave(origin, place) {
      const destination = destinations.get(origin);
      if (place.isLeft || destination === undefined) return;
      place.isLeft = true;
      destination.left += 1;
      if (destination.left * 2 <= destination.waiting.length - destination.head) return;
      destination.waiting = destination.waiting
        .slice(destination.head)
        .filter(({ isLeft }) => !isLeft);
      destination.head = 0;
      destination.left = 0;
    },
    crowd,
    places(origin) {
      const destination = destinations.get(origin);
      const most = perDestination + crowd;
      if (destination === undefined) return most;
      return Math.max(0, most - destination.active - waitingAt(destination));
    },
    slow(nowMs) {
      const slow: string[] = [];
      for (const [origin, destination] of destinations) {
        const waiting = waitingAt(destination);
        if (waiting <= crowd) {
          destination.watchedFromMs = null;
          destination.slowLooks = 0;
          continue;
        }
        const { watchedFromMs, released } = destination;
        if (watchedFromMs !== null) {
          const watchedMs = nowMs - watchedFromMs;
          if (watchedMs < watchLeastMs) continue;
          const isSlow = (waiting * watchedMs) / released > slowFromMs;
          destination.slowLooks = isSlow ? destination.slowLooks + 1 : 0;
          if (destination.slowLooks >= slowLooksLeast) slow.push(origin);
        }
        destination.watchedFromMs = nowMs;
        destination.released = 0;
      }
      return slow;
    },
    active: () => active,
  };
}
