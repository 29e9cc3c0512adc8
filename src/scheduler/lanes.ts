import type { TimerId } from '../core/ids.ts';
import type { ClaimedTimer } from '../core/timer.ts';

interface LaneAtWork {
  readonly id: number;
  readonly projectId: number;
  readonly state: 'closed' | 'draining';
}

interface ParkedTimer extends Pick<ClaimedTimer, 'id' | 'owner' | 'claim'> {
  readonly lane: number;
}

/** What lanes need of the store. */
export interface LaneStore {
  atWork(): Promise<readonly LaneAtWork[]>;
  park(timers: readonly ParkedTimer[]): Promise<readonly TimerId[]>;
  parkNear(lane: number, withinMs: number, rowsMax: number): Promise<number>;
  release(
    lane: number,
    everyMs: number,
    rowsMax: number,
  ): Promise<{ readonly count: number; readonly nextAtMs: number | null } | undefined>;
  open(lane: number): Promise<boolean>;
  releaseExpired(lane: number, rowsMax: number): Promise<number>;
}

/**
 * Which timers may not start for now, as this process knows, and where they wait.
 *
 * What nobody has claimed is parked ahead of its time (`work`); what was claimed before, by the process
 * that holds it (scheduler.ts). Both ask the lane in the same statement whether it is closed still, so
 * none is parked behind a resume. A lane that drains lets timers go by an allowance that all processes
 * share.
 */
export interface Lanes {
  /** Undefined when it may start. Where nothing is closed this costs nothing. */
  laneOf(timer: Pick<ClaimedTimer, 'projectId' | 'expiresAtMs'>): number | undefined;
  /** Whether nothing of a project starts. */
  isPaused(projectId: number): boolean;
  /** Resolves with those that were parked. */
  park(timers: readonly ParkedTimer[]): Promise<readonly TimerId[]>;
  /** Looks which lanes are closed: every process, several times a second. */
  refresh(): Promise<void>;
  /** Parks ahead and lets go. Any number of processes at once. */
  work(): Promise<void>;
}

/** Parked so long ahead of the look-ahead, so that hardly any is claimed before. */
const parkAheadMs = 10_000;
const parkEveryMs = 1_000;
const parkRowsMax = 2_000;
const parkForMs = 500;
const expiredRowsMax = 500;
/** 1,000 a second: a tenth of what a process delivers. */
const releaseEveryMs = 100;
const releaseRowsMax = 100;

export function createLanes(options: {
  store: LaneStore;
  lookAheadMs: number;
  /** A lower bound of the database's clock. */
  nowMs: () => number;
  monotonicMs: () => number;
  /** Lanes have been closed: what is held of them is to be parked. */
  onClosed: () => void;
  /** Timers due then were let go, and nobody has claimed them. */
  onReleased: (nextAtMs: number) => void;
}): Lanes {
  const { store, lookAheadMs, nowMs, monotonicMs, onClosed, onReleased } = options;
  let atWork: readonly LaneAtWork[] = [];
  let closed: ReadonlyMap<number, number> = new Map();
  /** Of two looks that overlap, the one that began later counts. */
  let looks = 0;
  let lastLook = 0;
  const parkedAtMs = new Map<number, number>();

  async function parkAhead(lane: number): Promise<void> {
    const nowAtMs = monotonicMs();
    if (nowAtMs - (parkedAtMs.get(lane) ?? -Infinity) < parkEveryMs) return;
    const endMs = nowAtMs + parkForMs;
    while ((await store.parkNear(lane, lookAheadMs + parkAheadMs, parkRowsMax)) === parkRowsMax) {
      // The others have their turn; the next is soon.
      if (monotonicMs() >= endMs) return;
    }
    parkedAtMs.set(lane, nowAtMs);
    await store.releaseExpired(lane, expiredRowsMax);
  }

  async function drain(lane: number): Promise<void> {
    const released = await store.release(lane, releaseEveryMs, releaseRowsMax);
    if (released === undefined) return;
    if (released.nextAtMs !== null) onReleased(released.nextAtMs);
    if (released.count < releaseRowsMax) await store.open(lane);
  }

  return {
    laneOf({ projectId, expiresAtMs }) {
      if (closed.size === 0) return undefined;
      const lane = closed.get(projectId);
      // What has expired is not started either, but it is to be ended.
      const isPast = lane !== undefined && expiresAtMs !== null && expiresAtMs <= nowMs();
      return isPast ? undefined : lane;
    },
    isPaused: (projectId) => closed.has(projectId),
    park: (timers) => store.park(timers),
    async refresh() {
      const look = ++looks;
      const found = await store.atWork();
      if (look < lastLook) return;
      lastLook = look;
      const before = closed;
      atWork = found;
      for (const lane of parkedAtMs.keys()) {
        if (!found.some(({ id, state }) => id === lane && state === 'closed'))
          parkedAtMs.delete(lane);
      }
      closed = new Map(
        atWork.filter(({ state }) => state === 'closed').map((lane) => [lane.projectId, lane.id]),
      );
      for (const projectId of closed.keys()) {
        if (before.has(projectId)) continue;
        onClosed();
        break;
      }
    },
    async work() {
      for (const { id, state } of atWork) await (state === 'closed' ? parkAhead(id) : drain(id));
    },
  };
}
