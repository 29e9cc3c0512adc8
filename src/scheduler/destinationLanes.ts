import type { DestinationBook } from '../core/destination.ts';
import type { TimerId } from '../core/ids.ts';
import { loggedUrl, originOf } from '../core/target.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import type { Logger } from '../telemetry/log.ts';

/** An origin of a project: `https://example.com:8443`. */
export interface Destination {
  readonly projectId: number;
  readonly origin: string;
}

interface LimitedLane extends Destination {
  readonly id: number;
  readonly closedUntilMs: number;
  readonly probeAtMs: number;
}

type ParkedTimer = Pick<ClaimedTimer, 'id' | 'owner' | 'claim'> & Destination;

/** What lanes of destinations need of the store. */
export interface DestinationLaneStore {
  limited(): Promise<readonly LimitedLane[]>;
  parkAt(
    timers: readonly ParkedTimer[],
  ): Promise<readonly { readonly id: TimerId; readonly lane: number }[]>;
  open(lane: number, aheadMax: number): Promise<{ readonly nextAtMs: number | null } | undefined>;
  releaseExpired(lanes: readonly number[], rowsMax: number): Promise<void>;
}

/** A lane as this process knows it. */
export interface KnownLane extends Destination {
  /** Undefined until the first timer is parked in it. */
  id: number | undefined;
  /** Nothing leaves it before. */
  closedUntilMs: number;
  /** But for a probe, from then on. */
  probeAtMs: number;
  /** Looks that had begun when this process knew of it last by itself. */
  knownAtLook: number;
  /** How often it has. */
  marks: number;
}

/**
 * Which timers have to wait for their destination, as this process knows: behind others that wait there
 * (its lane is `limited`), or because nothing may start there (it is paused by its settings, or closed).
 *
 * One process that parks makes the lane limited in the same statement; the others see it when they look
 * next, and until then take timers by their own judgement. Out of the lane they are pulled (pulls.ts).
 */
export interface DestinationLanes {
  /**
   * The origin in whose lane a timer has to wait; undefined when it may ask to be admitted. Where nobody
   * waits and nothing is set this is a comparison; 0.4 µs where something is, of its project.
   */
  waitsAt(timer: Pick<ClaimedTimer, 'projectId' | 'expiresAtMs' | 'request'>): string | undefined;
  /** Nothing may start there, whoever has been admitted. */
  isClosed(timer: Pick<ClaimedTimer, 'projectId' | 'request'>): boolean;
  isClosedAt(destination: Destination): boolean;
  /** Makes their lanes limited and parks them; resolves with those that were parked. */
  park(timers: readonly ParkedTimer[]): Promise<ReadonlySet<TimerId>>;
  /** Those in which many have been parked lately: claims do it by themselves there. The ids of a few. */
  crowded(): readonly number[];
  /** These were, by a claim. */
  parkedByClaim(timers: readonly { readonly lane: number }[]): void;
  /** Looks which are limited: every process, several times a second. */
  refresh(): Promise<void>;
  /** All that are at work. */
  all(): readonly KnownLane[];
  laneAt(destination: Destination): KnownLane | undefined;
  /** Opens a lane in which nothing due seems to wait; nothing where something does. */
  open(lane: KnownLane): Promise<void>;
  /** What expires while it waits is let go, to be ended. */
  releaseExpired(lanes: readonly KnownLane[]): Promise<void>;
  /** Whether its settings say so. */
  isPausedAt(destination: Destination): boolean;
  /** Whether timers of the project wait for any destination. */
  isAnyOf(projectId: number): boolean;
  /** The breaker of it is open, as is committed; the others know within 250 ms. */
  closed(destination: Destination, probeAtMs: number): void;
  /** It is not any more. */
  reopened(destination: Destination): void;
}

const expiredRowsMax = 500;
/** Of one claim in the same lane: a turn of a project among several has no more. */
const crowdLeast = 25;
const crowdedForMs = 5_000;
/** Each is compared with each timer of a claim. */
const crowdedMax = 8;
/** About what a process may hold. A lane in which more wait ahead of due is as good as in use. */
const aheadMax = 4_000;
const toldEveryMs = 600_000;
const toldMax = 10_000;

export function createDestinationLanes(options: {
  store: DestinationLaneStore;
  book: DestinationBook;
  /** A lower bound of the database's clock. */
  nowMs: () => number;
  log: Logger;
  /** Lanes have come to be at work: what is held of them is to be parked, and pulled in time. */
  onLimited: () => void;
  /** Timers due then were let go, and nobody has claimed them. */
  onReleased: (nextAtMs: number) => void;
}): DestinationLanes {
  const { store, book, nowMs, log, onLimited, onReleased } = options;
  let known = new Map<number, Map<string, KnownLane>>();
  /** Until when the claims park, by the ids of lanes, the latest last. */
  const crowds = new Map<number, number>();
  const told = new Map<string, number>();
  let looks = 0;
  let lastLook = 0;

  function laneAt({ projectId, origin }: Destination): KnownLane | undefined {
    return known.get(projectId)?.get(origin);
  }

  function isPausedAt({ projectId, origin }: Destination): boolean {
    return book.settingsOf(projectId, origin)?.isPaused === true;
  }

  function isPausedFor(projectId: number, url: string): boolean {
    return book.settingsOfUrl(projectId, url)?.isPaused === true;
  }

  function isClosedAt(destination: Destination): boolean {
    const untilMs = laneAt(destination)?.closedUntilMs ?? -Infinity;
    return (untilMs > -Infinity && untilMs > nowMs()) || isPausedAt(destination);
  }

  function mark(destination: Destination, changes: Partial<KnownLane>): KnownLane {
    let lane = laneAt(destination);
    if (lane === undefined) {
      const { projectId, origin } = destination;
      lane = {
        projectId,
        origin,
        id: undefined,
        closedUntilMs: -Infinity,
        probeAtMs: Infinity,
        knownAtLook: looks,
        marks: 0,
      };
      put(known, lane);
    }
    return Object.assign(lane, changes, { knownAtLook: looks, marks: lane.marks + 1 });
  }

  function countCrowds(laneIds: Iterable<number>): void {
    const counts = new Map<number, number>();
    for (const id of laneIds) counts.set(id, (counts.get(id) ?? 0) + 1);
    for (const [id, count] of counts) {
      if (count < crowdLeast) continue;
      crowds.delete(id);
      crowds.set(id, nowMs() + crowdedForMs);
    }
    for (const id of crowds.keys()) {
      if (crowds.size <= crowdedMax) break;
      crowds.delete(id);
    }
  }

  /** One that comes and goes is told of now and then. */
  function tell({ projectId, origin }: Destination): void {
    const place = `${projectId} ${origin}`;
    const now = nowMs();
    if ((told.get(place) ?? -Infinity) + toldEveryMs > now) return;
    if (told.size >= toldMax) told.clear();
    told.set(place, now);
    log.info(
      { projectId, destination: loggedUrl(origin) },
      'timers wait in the lane of a destination: it is paused or closed, at its rate or concurrency, or slow',
    );
  }

  return {
    waitsAt({ projectId, expiresAtMs, request }) {
      const lanes = known.size === 0 ? undefined : known.get(projectId);
      if (lanes === undefined && !book.hasAny(projectId)) return undefined;
      // What has expired is not started either, but it is to be ended.
      if (expiresAtMs !== null && expiresAtMs <= nowMs()) return undefined;
      const { url } = request;
      if (lanes?.has(originOf(url)) !== true && !isPausedFor(projectId, url)) return undefined;
      return originOf(url);
    },
    isClosed({ projectId, request: { url } }) {
      if (known.size > 0 && known.has(projectId)) {
        return isClosedAt({ projectId, origin: originOf(url) });
      }
      return isPausedFor(projectId, url);
    },
    isClosedAt,
    async park(timers) {
      const before = new Set<KnownLane>();
      for (const timer of timers) {
        const lane = laneAt(timer);
        if (lane !== undefined && lane.id !== undefined) before.add(lane);
        else mark(timer, {});
      }
      const parked = await store.parkAt(timers);
      const laneOf = new Map(parked.map(({ id, lane }) => [id, lane]));
      let isNew = false;
      for (const timer of timers) {
        const id = laneOf.get(timer.id);
        if (id === undefined) continue;
        const lane = mark(timer, { id });
        if (before.has(lane)) continue;
        before.add(lane);
        isNew = true;
        tell(lane);
      }
      if (isNew) onLimited();
      countCrowds(laneOf.values());
      return new Set(laneOf.keys());
    },
    crowded() {
      if (crowds.size === 0) return [];
      for (const [id, untilMs] of crowds) if (untilMs <= nowMs()) crowds.delete(id);
      return [...crowds.keys()];
    },
    parkedByClaim: (timers) => countCrowds(timers.map(({ lane }) => lane)),
    async refresh() {
      const look = ++looks;
      const found = await store.limited();
      if (look < lastLook) return;
      lastLook = look;
      const before = known;
      const now = new Map<number, Map<string, KnownLane>>();
      let isNew = false;
      for (const lane of found) {
        const { id, projectId, origin, closedUntilMs, probeAtMs } = lane;
        isNew ||= before.get(projectId)?.get(origin)?.id === undefined;
        put(now, { id, projectId, origin, closedUntilMs, probeAtMs, knownAtLook: 0, marks: 0 });
      }
      for (const lanes of before.values()) {
        for (const lane of lanes.values()) {
          // Of this process, and perhaps not committed when the look began.
          if (lane.knownAtLook < look) continue;
          const seen = now.get(lane.projectId)?.get(lane.origin);
          put(now, Object.assign(lane, { id: lane.id ?? seen?.id }));
        }
      }
      known = now;
      if (isNew) onLimited();
    },
    all() {
      const all: KnownLane[] = [];
      for (const lanes of known.values()) for (const lane of lanes.values()) all.push(lane);
      return all;
    },
    laneAt,
    async open(lane) {
      if (lane.id === undefined) return;
      const { marks } = lane;
      const opened = await store.open(lane.id, aheadMax);
      if (opened === undefined) return;
      const lanes = known.get(lane.projectId);
      // Not where it has been parked in again since, or found at work by a look.
      if (lanes?.get(lane.origin) === lane && lane.marks === marks) {
        lanes.delete(lane.origin);
        if (lanes.size === 0) known.delete(lane.projectId);
      }
      if (opened.nextAtMs !== null) onReleased(opened.nextAtMs);
    },
    async releaseExpired(lanes) {
      const ids = lanes.flatMap(({ id }) => (id === undefined ? [] : [id]));
      if (ids.length > 0) await store.releaseExpired(ids, expiredRowsMax);
    },
    isPausedAt,
    isAnyOf: (projectId) => known.has(projectId),
    closed(destination, probeAtMs) {
      mark(destination, { closedUntilMs: Infinity, probeAtMs });
      onLimited();
    },
    reopened(destination) {
      if (laneAt(destination) === undefined) return;
      mark(destination, { closedUntilMs: -Infinity, probeAtMs: Infinity });
      onLimited();
    },
  };
}

function put(lanes: Map<number, Map<string, KnownLane>>, lane: KnownLane): void {
  const ofProject = lanes.get(lane.projectId);
  if (ofProject === undefined) lanes.set(lane.projectId, new Map([[lane.origin, lane]]));
  else ofProject.set(lane.origin, lane);
}
