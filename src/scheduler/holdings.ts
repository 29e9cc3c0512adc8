import type { TimerId } from '../core/ids.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import { createHeap } from './heap.ts';

/**
 * Where a claimed timer stands in this process:
 * `waiting` in the heap until due → `handed` to the transport, not started → `started` →
 * `recording` its outcome → gone. `taken` out of the heap by a cancel that is being committed.
 */
export type HoldingPhase = 'waiting' | 'handed' | 'started' | 'recording' | 'taken';

export interface Holding {
  readonly timer: ClaimedTimer;
  phase: HoldingPhase;
  /** Once its destination has taken it: it is not asked again. */
  admission: Admission | undefined;
}

/** That a destination takes a timer, by rate and concurrency. */
export interface Admission {
  /** To see whether a closed destination answers. */
  readonly isProbe: boolean;
  /** Its attempt is over, or never comes. Tolerates repetition. */
  end(): void;
}

/** The timers that this process has claimed, bounded in rows and bytes. */
export interface Holdings {
  /** Takes a claimed timer in, to wait until due. */
  add(timer: ClaimedTimer, admission?: Admission): void;
  get(id: TimerId): Holding | undefined;
  /** Lets a timer go: it is recorded, released or somebody else's. */
  remove(holding: Holding): void;
  /** The waiting timer that is due first. */
  next(): Holding | undefined;
  /** Takes it off the heap, to be handed over. */
  takeNext(): Holding | undefined;
  /** Back to the heap, if it is held still. */
  wait(holding: Holding): void;
  all(): IterableIterator<Holding>;
  size(): number;
  /** Rows that may still be claimed, given that each may be as large as can be. */
  room(share?: number): number;
  /**
   * Rows of one project that may still be claimed, if each project may hold so many times as much as is free:
   * with 3 one alone gets three quarters, two get three sevenths each, and there is always room for one
   * more (dynamic thresholds, Choudhury and Hahne 1998); the same of the bytes.
   */
  roomOf(projectId: number, timesFree: number): number;
  /** Projects that hold something. */
  holders(): Iterable<number>;
  /** Sets room aside for timers that are being inserted; false when there is none. */
  reserve(rows: number): boolean;
  unreserve(rows: number): void;
}

export function createHoldings(bounds: {
  rowsMax: number;
  bytesMax: number;
  rowBytesMax: number;
}): Holdings {
  const { rowsMax, bytesMax, rowBytesMax } = bounds;
  const held = new Map<TimerId, Holding>();
  const heap = createHeap<Holding>((a, b) => a.timer.nextAtMs < b.timer.nextAtMs);
  const byProject = new Map<number, { rows: number; bytes: number }>();
  let bytes = 0;
  let reserved = 0;

  function count(timer: ClaimedTimer, sign: 1 | -1): void {
    bytes += sign * timer.bytes;
    const { projectId } = timer;
    const share = byProject.get(projectId);
    if (share === undefined) byProject.set(projectId, { rows: 1, bytes: timer.bytes });
    else {
      share.rows += sign;
      share.bytes += sign * timer.bytes;
      if (share.rows === 0) byProject.delete(projectId);
    }
  }

  /** Drops what has left the heap by another way: taken, removed, or replaced by a newer claim. */
  function next(): Holding | undefined {
    for (;;) {
      const top = heap.peek();
      if (top === undefined) return undefined;
      if (top.phase === 'waiting' && held.get(top.timer.id) === top) return top;
      heap.pop();
    }
  }

  function room(share = 1): number {
    const rows = Math.floor(rowsMax * share) - held.size - reserved;
    const byBytes = Math.floor((bytesMax * share - bytes) / rowBytesMax) - reserved;
    return Math.max(0, Math.min(rows, byBytes));
  }

  return {
    add(timer, admission) {
      const before = held.get(timer.id);
      if (before !== undefined) {
        count(before.timer, -1);
        before.admission?.end();
      }
      count(timer, 1);
      const holding: Holding = { timer, phase: 'waiting', admission };
      held.set(timer.id, holding);
      heap.push(holding);
    },
    get: (id) => held.get(id),
    remove(holding) {
      if (held.get(holding.timer.id) !== holding) return;
      held.delete(holding.timer.id);
      count(holding.timer, -1);
      holding.admission?.end();
    },
    next,
    takeNext() {
      const holding = next();
      if (holding === undefined) return undefined;
      heap.pop();
      holding.phase = 'handed';
      return holding;
    },
    wait(holding) {
      if (held.get(holding.timer.id) !== holding) return;
      holding.phase = 'waiting';
      heap.push(holding);
    },
    all: () => held.values(),
    size: () => held.size,
    room,
    roomOf(projectId, timesFree) {
      const mine = byProject.get(projectId) ?? { rows: 0, bytes: 0 };
      const left = (free: number, used: number) => (timesFree * free - used) / (timesFree + 1);
      const rows = left(rowsMax - held.size - reserved, mine.rows);
      const byBytes = left(bytesMax - bytes - reserved * rowBytesMax, mine.bytes) / rowBytesMax;
      return Math.max(0, Math.min(room(), Math.ceil(Math.min(rows, byBytes))));
    },
    holders: () => byProject.keys(),
    reserve(rows) {
      if (room() < rows) return false;
      reserved += rows;
      return true;
    },
    unreserve(rows) {
      reserved -= rows;
    },
  };
}
