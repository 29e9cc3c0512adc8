/** A place in the order of `(next_at, id)`. */
export interface Floor {
  readonly nextAtMs: number;
  readonly id: number;
}

/** How far the claims of a project have come, and how many more it may have now. */
export interface ProjectShare {
  readonly projectId: number;
  readonly floor: Floor;
  readonly most: number;
}

/** What one statement is asked for. */
export interface FairAsk {
  readonly rowsMax: number;
  /** By their ids, ascending. */
  readonly known: readonly ProjectShare[];
  /** Of projects that are not known: from where, and how many. */
  readonly floor: Floor;
  readonly most: number;
  /** Where a walk through all projects goes on; null: those that are known only. */
  readonly walkFrom: number | null;
}

/** How much of the room a project may take. */
export interface ProjectRoom {
  of(projectId: number): number;
  /** Projects that hold something. */
  holders(): Iterable<number>;
}

interface ClaimedTimer extends Floor {
  readonly projectId: number;
}

/**
 * Where claims stand in each project while there is more than there is room for.
 *
 * *Rounds* walk through all projects that have timers: each gives up to `walkMost`, from the common floor.
 * One that has more is *behind* from then on: it has a floor of its own, and turns in between, in a ring, each
 * for an equal share of what a statement may take (deficit round robin, Shreedhar and Varghese 1995; no
 * deficit is carried on, as all timers count as one). Nobody may hold more of the room than is his.
 *
 * It is over with the first round after which nobody is behind: then all has been claimed that was due
 * when that round began.
 */
export interface FairCursor {
  /** What to ask for now; undefined for nothing. Begins a walk if one is due. */
  ask(rowsMax: number): FairAsk | undefined;
  /** What came of it. `walkedTo`: where the walk goes on, null at its end. Returns whether it is over. */
  took(ask: FairAsk, timers: readonly ClaimedTimer[], walkedTo: number | null): boolean;
  /** Whether a walk is under way, or those behind have room for this many together. */
  hasMore(rows: number): boolean;
  /** Milliseconds until a walk is due; 0 while one is under way. */
  walkDueInMs(): number;
  /** There may be timers due from this instant on, of any project: walks at once. */
  lower(dueAtMs: number): void;
  /** What is due before this is left to others. */
  raise(dueAtMs: number): void;
  /** From here on nothing has been passed over that was there when the last round began. */
  floor(): Floor;
}

/** Who has more than this is behind. */
const walkMost = 100;
/** So often they have one however little room there is. */
const turnEveryMs = 250;
/** However many are behind: a turn costs PostgreSQL some microseconds. */
const turnLeast = 25;
/** Until it is looked again whether there is room for anybody. */
const noRoomPauseMs = 50;
/** As many as one statement walks through. */
const knownMax = 256;

export function createFairCursor(options: {
  floor: Floor;
  /** The common floor once a round that begins now is at its end. */
  floorOfRound: () => Floor;
  room: ProjectRoom;
  /** For fewer rows, though there is more, those behind have no turn but now and then. */
  crowd: number;
  monotonicMs: () => number;
  /** How long after a walk that took so long the next one is due. */
  walkPauseMs: (walkedMs: number) => number;
}): FairCursor {
  const { floorOfRound, room, crowd, monotonicMs, walkPauseMs } = options;
  let floor = options.floor;
  /** The floors of those behind, the one whose turn is next first. */
  const behind = new Map<number, Floor>();
  let walkFrom: number | null = 0;
  let walkBeganAtMs = monotonicMs();
  let walkDueAtMs = walkBeganAtMs;
  let roundFloor = floorOfRound();
  let isWoken = false;
  /** However seldom it is asked: after a walk it is the turn of those behind. */
  let owesTurn = false;
  let turnDueAtMs = -Infinity;
  const newcomer = -1;

  const shareOf = (rows: number) => Math.max(turnLeast, Math.ceil(rows / Math.max(1, behind.size)));

  /** The next of those behind that fit into a statement together. */
  function turns(rowsMax: number): ProjectShare[] {
    const share = shareOf(rowsMax);
    const shares: ProjectShare[] = [];
    let rows = 0;
    for (const [projectId, own] of behind) {
      if (rows >= rowsMax || shares.length >= knownMax) break;
      const most = Math.min(share, room.of(projectId), rowsMax - rows);
      if (most < 1) continue;
      shares.push({ projectId, floor: own, most });
      rows += most;
    }
    return shares.toSorted((a, b) => a.projectId - b.projectId);
  }

  function hasMore(rows: number): boolean {
    if (walkFrom !== null && room.of(newcomer) > 0) return true;
    const share = shareOf(rows);
    let found = 0;
    for (const projectId of behind.keys()) {
      found += Math.max(0, Math.min(share, room.of(projectId)));
      if (found >= rows) return true;
    }
    return false;
  }

  /** A small turn costs as much as a large one. */
  function isWorthATurn(shares: readonly ProjectShare[], rowsMax: number): boolean {
    const rows = shares.reduce((sum, { most }) => sum + most, 0);
    if (rows === 0) return false;
    const isDue = monotonicMs() >= Math.min(turnDueAtMs, walkDueAtMs);
    return isDue || rows >= rowsMax || hasMore(crowd);
  }

  /** Those behind have turns enough, and those that hold much may have little. */
  function known(from: number): ProjectShare[] {
    const shares: ProjectShare[] = [];
    for (const [projectId, own] of behind) {
      if (projectId > from) shares.push({ projectId, floor: own, most: 0 });
    }
    for (const projectId of room.holders()) {
      if (projectId <= from || behind.has(projectId)) continue;
      const most = room.of(projectId);
      if (most < walkMost) shares.push({ projectId, floor, most: Math.max(0, most) });
    }
    return shares.toSorted((a, b) => a.projectId - b.projectId).slice(0, knownMax);
  }

  /** Woken meanwhile, it begins anew where it was told to. */
  function goOn(projectId: number, asked: Floor, last: Floor): void {
    const own = behind.get(projectId) ?? floor;
    behind.delete(projectId);
    behind.set(projectId, own === asked ? last : own);
  }

  function tookTurns(ask: FairAsk, claimed: ReadonlyMap<number, Claimed>): void {
    for (const { projectId, floor: asked, most } of ask.known) {
      const { rows = 0, last = asked } = claimed.get(projectId) ?? {};
      if (rows >= most || behind.get(projectId) !== asked) goOn(projectId, asked, last);
      else behind.delete(projectId);
    }
  }

  function tookWalk(ask: FairAsk, claimed: ReadonlyMap<number, Claimed>): void {
    const mosts = new Map(ask.known.map(({ projectId, most }) => [projectId, most]));
    for (const [projectId, { rows, last }] of claimed) {
      if (behind.has(projectId)) continue;
      if (rows >= (mosts.get(projectId) ?? ask.most)) goOn(projectId, ask.floor, last);
    }
    // Without room it cannot be told whether they have something.
    for (const [projectId, most] of mosts) {
      if (most === 0 && !behind.has(projectId)) behind.set(projectId, floor);
    }
  }

  return {
    ask(rowsMax) {
      const shares = walkFrom === null ? turns(rowsMax) : [];
      if (walkFrom === null && monotonicMs() >= walkDueAtMs && (!owesTurn || shares.length === 0)) {
        walkFrom = 0;
        walkBeganAtMs = monotonicMs();
        roundFloor = floorOfRound();
        isWoken = false;
      }
      const most = Math.min(walkMost, room.of(newcomer));
      if (walkFrom !== null && most > 0) {
        return { rowsMax, known: known(walkFrom), floor, most, walkFrom };
      }
      if (!isWorthATurn(shares, rowsMax)) return undefined;
      owesTurn = false;
      turnDueAtMs = monotonicMs() + turnEveryMs;
      return { rowsMax, known: shares, floor, most: 0, walkFrom: null };
    },
    took(ask, timers, walkedTo) {
      const claimed = claimedOf(timers);
      if (ask.walkFrom === null) {
        tookTurns(ask, claimed);
        return false;
      }
      tookWalk(ask, claimed);
      // Too many: whoever was cut short is behind, and the others come next.
      const cutAt = timers.length >= ask.rowsMax ? Math.max(...claimed.keys()) : undefined;
      const cut = cutAt === undefined ? undefined : claimed.get(cutAt);
      if (cutAt !== undefined && cut !== undefined && !behind.has(cutAt)) {
        goOn(cutAt, ask.floor, cut.last);
      }
      walkFrom = cutAt ?? walkedTo;
      if (walkFrom !== null) return false;
      const nowMs = monotonicMs();
      walkDueAtMs = isWoken ? nowMs : nowMs + walkPauseMs(nowMs - walkBeganAtMs);
      owesTurn = true;
      floor = roundFloor;
      return behind.size === 0;
    },
    hasMore,
    walkDueInMs() {
      if (walkFrom !== null) return room.of(newcomer) > 0 ? 0 : noRoomPauseMs;
      return Math.max(0, walkDueAtMs - monotonicMs());
    },
    lower(dueAtMs) {
      const lowered = { nextAtMs: dueAtMs, id: 0 };
      walkDueAtMs = monotonicMs();
      isWoken = true;
      if (isBefore(lowered, floor)) floor = lowered;
      if (isBefore(lowered, roundFloor)) roundFloor = lowered;
      for (const [projectId, own] of behind) {
        if (isBefore(lowered, own)) behind.set(projectId, lowered);
      }
    },
    raise(dueAtMs) {
      const raised = { nextAtMs: dueAtMs, id: 0 };
      if (isBefore(floor, raised)) floor = raised;
      for (const [projectId, own] of behind) {
        if (isBefore(own, raised)) behind.set(projectId, raised);
      }
    },
    floor: () => floor,
  };
}

interface Claimed {
  rows: number;
  last: Floor;
}

function claimedOf(timers: readonly ClaimedTimer[]): Map<number, Claimed> {
  const claimed = new Map<number, Claimed>();
  for (const { projectId, nextAtMs, id } of timers) {
    const before = claimed.get(projectId);
    // Not the timer itself: its body would stay in memory with it.
    const last = { nextAtMs, id };
    if (before === undefined) claimed.set(projectId, { rows: 1, last });
    else {
      before.rows += 1;
      if (isBefore(before.last, last)) before.last = last;
    }
  }
  return claimed;
}

export function isBefore(a: Floor, b: Floor): boolean {
  return a.nextAtMs < b.nextAtMs || (a.nextAtMs === b.nextAtMs && a.id < b.id);
}
