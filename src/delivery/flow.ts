/** Of one who waits for a slot. */
export interface Place {
  readonly flow: Flow;
  readonly start: (place: Place) => void;
  isLeft: boolean;
  startedAtMs: number;
}

/** Those of one project that wait for slots of one origin: first in, first out. */
export interface Flow {
  readonly projectId: number;
  readonly origin: string;
  /** Slots in use. */
  active: number;
  /** Stands in a line of its origin or of its project. */
  isLined: boolean;
  waiting(): number;
  push(start: Place['start']): Place;
  /** Who has left is passed over. */
  next(): Place | undefined;
  leave(place: Place): void;
  /** A slot was given back. */
  released(): void;
  /** Whether what waits beyond `crowd` would need too long; see slowFromMs. Asked several times a second. */
  isSlow(nowMs: number, crowd: number): boolean;
}

// A receiver that keeps up must not be taken for slow: parking and pulling costs a timer twice the CPU
// of PostgreSQL (some 80 → 156 to 174 µs) and a backlog a third of its pace. With one look and 1,000 ms, 2
// of 4 processes that started into a backlog of one destination did so; with these, none of 7.
const slowFromMs = 3_000;
const slowLooksLeast = 2;
/** A pause of this process alone is no sign of a slow receiver. */
const watchLeastMs = 250;

export function createFlow(projectId: number, origin: string): Flow {
  let places: Place[] = [];
  /** The next one. */
  let head = 0;
  let left = 0;
  /** Slots given back since `watchedFromMs`, which is null where no crowd waits. */
  let released = 0;
  let watchedFromMs: number | null = null;
  /** Quarters of a second in a row in which it was slow. */
  let slowLooks = 0;

  const waiting = () => places.length - head - left;

  const flow: Flow = {
    projectId,
    origin,
    active: 0,
    isLined: false,
    waiting,
    push(start) {
      const place = { flow, start, isLeft: false, startedAtMs: 0 };
      places.push(place);
      return place;
    },
    next() {
      for (;;) {
        const place = places[head];
        if (place === undefined) return undefined;
        head += 1;
        if (head > 1_024 && head * 2 > places.length) {
          places.splice(0, head);
          head = 0;
        }
        if (!place.isLeft) return place;
        left -= 1;
      }
    },
    leave(place) {
      if (place.isLeft) return;
      place.isLeft = true;
      left += 1;
      if (left * 2 <= places.length - head) return;
      places = places.slice(head).filter(({ isLeft }) => !isLeft);
      head = 0;
      left = 0;
    },
    released: () => void (released += 1),
    isSlow(nowMs, crowd) {
      const count = waiting();
      if (count <= crowd) {
        watchedFromMs = null;
        slowLooks = 0;
        return false;
      }
      if (watchedFromMs !== null) {
        const watchedMs = nowMs - watchedFromMs;
        if (watchedMs < watchLeastMs) return false;
        slowLooks = (count * watchedMs) / released > slowFromMs ? slowLooks + 1 : 0;
      }
      watchedFromMs = nowMs;
      released = 0;
      return slowLooks >= slowLooksLeast;
    },
  };
  return flow;
}
