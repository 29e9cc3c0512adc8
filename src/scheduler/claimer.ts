import { randomInt } from 'node:crypto';
import type { MachineClock } from '../core/clock.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import type { DatabaseClock } from './databaseClock.ts';
import {
  createFairCursor,
  isBefore,
  type FairCursor,
  type Floor,
  type ProjectShare,
} from './fairCursor.ts';
import { createParkPace } from './parkPace.ts';
import { createTokenBucket } from './tokenBucket.ts';

interface ClaimOptions {
  readonly floor: Floor;
  readonly lookAheadMs: number;
  readonly rowsMax: number;
  readonly owner: number;
  readonly claim: number;
  readonly lanes: readonly number[];
}

/** What was parked in the lane of its destination and not claimed. */
export interface ClaimParked extends Floor {
  readonly projectId: number;
  readonly lane: number;
}

/** What one look has found. */
export interface Found {
  readonly timers: readonly ClaimedTimer[];
  readonly parked: readonly ClaimParked[];
}

type FairClaimOptions = ClaimOptions & {
  readonly known: readonly ProjectShare[];
  readonly most: number;
  readonly walkFrom: number | null;
};

type PullOptions = Pick<ClaimOptions, 'rowsMax' | 'owner' | 'claim'> & { readonly lane: number };

interface Claimed {
  readonly timers: readonly ClaimedTimer[];
  readonly databaseNowMs: number;
}

interface FairlyClaimed extends Claimed, Found {
  readonly walkedTo: number | null;
}

/** What claiming needs of the store. */
export interface ClaimStore {
  claimAhead(options: ClaimOptions): Promise<Claimed & Found>;
  sweep(options: ClaimOptions & { lostClaims: readonly number[] }): Promise<Claimed & Found>;
  claimAheadFairly(options: FairClaimOptions): Promise<FairlyClaimed>;
  sweepFairly(
    options: FairClaimOptions & { lostClaims: readonly number[] },
  ): Promise<FairlyClaimed>;
  pull(options: PullOptions): Promise<Claimed>;
  probe(
    options: Omit<PullOptions, 'rowsMax' | 'lane'> & {
      readonly lanes: readonly number[];
      readonly againInMs: number;
    },
  ): Promise<Claimed>;
  /** The database's clock, in milliseconds of the Unix epoch. */
  readClock(): Promise<number>;
  declareDead(): Promise<number[]>;
  /** Deletes processes that died so long ago. */
  forget(ageMs: number): Promise<void>;
}

/**
 * Where to look next. Two cursors over the index of next_at, both moving forward so that neither
 * reads again through timers that are owned already or dead entries that vacuum cannot remove yet:
 *
 * - the *ordinary* floor starts at the clock when this process starts and follows what was claimed;
 * - the *sweep* goes from the beginning, and starts over about every second. It takes what
 *   lies behind the ordinary floor: backlog, late commits, timers of dead owners. It may take up
 *   only a share of the room, so timers that are due now do not wait behind a backlog.
 *
 * Where one of them finds more than it may take, or the room is short, it goes on fairly, until it has taken
 * all: by a `FairCursor`, along the same order within each project.
 */
export interface Claimer {
  /** One ordinary poll, at most `rowsMax` timers. */
  poll(owner: number, rowsMax: number): Promise<Found>;
  /** One step of the sweep, if one is due. */
  sweepStep(owner: number, rowsMax: number): Promise<Found>;
  /** Due timers that wait in a lane, at most `rowsMax`. */
  pull(owner: number, lane: number, rowsMax: number): Promise<readonly ClaimedTimer[]>;
  /** The first due timer of each closed lane, if no process has had one within so long. */
  probe(
    owner: number,
    lanes: readonly number[],
    againInMs: number,
  ): Promise<readonly ClaimedTimer[]>;
  /**
   * Asks the database for its clock alone. The reply to a claim is read only after its rows: with a
   * few hundred of them the bound lay 0.5 ms behind the clock, and so did every firing.
   */
  sampleClock(): Promise<void>;
  /** Milliseconds until the next sweep step is due. */
  sweepDueInMs(): number;
  /** There is more, and room for a crowd of it. */
  hasMore(): boolean;
  /** Of that which is due for an ordinary poll. */
  hasMoreAhead(): boolean;
  /** The next ordinary poll starts no later than at timers due at this instant. */
  lowerFloor(dueAtMs: number): void;
  /** A fresh claim token. */
  newClaim(): number;
  /** A statement with this claim has an unknown outcome: timers under it belong to nobody. */
  lostClaim(claim: number): void;
}

/** What claiming needs to know of the room. */
export interface ClaimRoom {
  /** Rows of a project for which there is room if it may have so many times as much as is free. */
  of(projectId: number, timesFree: number): number;
  /** Rows for which there is room in the share of the backlog. */
  ofBacklog(): number;
  /** Projects that hold some of it. */
  holders(): Iterable<number>;
  /** So little is free that it has to be shared. */
  isShort(): boolean;
}

/**
 * What one project may hold: three quarters of the room, with the backlog two thirds, so that what is due
 * now does not wait behind it.
 */
const aheadTimesFree = 3;
const backlogTimesFree = 2;
/** Often enough to be ahead of due, and a quarter of PostgreSQL's time at the most. */
const walkPauseLeastMs = 250;
const walkTimeShare = 0.25;
const sweepEveryMs = 1_000;
const sweepTimeShare = 0.05;
const sweepEveryMaxMs = 10_000;
/** Longer than any statement can run; after that a lost one can commit no more. */
const lostClaimKeptMs = 10 * 60_000;
const forgetAfterMs = 10 * 60_000;
const start: Floor = { nextAtMs: -Infinity, id: 0 };
const nothing: Found = { timers: [], parked: [] };

export function createClaimer(options: {
  store: ClaimStore;
  clock: MachineClock;
  databaseClock: DatabaseClock;
  lookAheadMs: number;
  /** Overdue timers taken up per second; undefined for no limit. */
  catchUpRate: number | undefined;
  room: ClaimRoom;
  /** Of destinations at which so much waits that claims park it by themselves. */
  crowdedLanes: () => readonly number[];
  /** Claims are cheap in crowds: where there is more, it is waited until there is room for so many rows. */
  crowd: number;
}): Claimer {
  const { store, clock, databaseClock, lookAheadMs, catchUpRate, room, crowdedLanes, crowd } =
    options;
  const { monotonicMs } = clock;
  const catchUp =
    catchUpRate === undefined ? undefined : createTokenBucket({ perSecond: catchUpRate, clock });
  let floor: Floor | undefined;
  let fairly: FairCursor | undefined;
  let sweepsFairly: FairCursor | undefined;
  let sweepDueAtMs = -Infinity;
  const pace = createParkPace(monotonicMs);
  let longestStepMs = 0;
  let passBeganAtMs = -Infinity;
  /** A pass has come to its end since anything was forgotten. */
  let mayForget = false;
  const lostClaims = new Map<number, number>();

  function newClaim(): number {
    return randomInt(1, 2 ** 48 - 1);
  }

  async function timed<Answer extends Claimed>(
    claim: number,
    statement: () => Promise<Answer>,
  ): Promise<Answer> {
    const sentAtMs = monotonicMs();
    try {
      const answer = await statement();
      databaseClock.sample(answer.databaseNowMs, sentAtMs, monotonicMs());
      return answer;
    } catch (err) {
      lostClaims.set(claim, monotonicMs());
      throw err;
    }
  }

  /** At the end of a pass: it has taken what was lost long before it began. */
  function forgetLostClaims(): void {
    const oldest = passBeganAtMs - lostClaimKeptMs;
    for (const [claim, sinceMs] of lostClaims) if (sinceMs < oldest) lostClaims.delete(claim);
  }

  /**
   * The last pass has taken all that was held by those who were dead when it began. Who died since may own
   * timers behind it, which nobody could take over without the mark of that death. Before the next pass, not
   * at the end of this one: what a step has claimed must not be lost where this fails.
   */
  async function forgetTheDead(): Promise<void> {
    if (!mayForget) return;
    mayForget = false;
    const passAgeMs = monotonicMs() - passBeganAtMs;
    await store.forget(Math.max(forgetAfterMs, 2 * passAgeMs));
  }

  const clockFloor = (): Floor => ({ nextAtMs: Math.floor(databaseClock.nowMs()), id: 0 });

  function fairCursor(options: {
    floor: Floor;
    floorOfRound: () => Floor;
    roomOf: (projectId: number) => number;
    walkPauseMs: (walkedMs: number) => number;
  }): FairCursor {
    const { roomOf: of, ...rest } = options;
    return createFairCursor({ ...rest, room: { of, holders: room.holders }, crowd, monotonicMs });
  }

  async function pollFairly(cursor: FairCursor, owner: number, rowsMax: number): Promise<Found> {
    const ask = cursor.ask(rowsMax);
    if (ask === undefined) return nothing;
    const claim = newClaim();
    const found = await timed(claim, () =>
      store.claimAheadFairly({ ...ask, lookAheadMs, owner, claim, lanes: crowdedLanes() }),
    );
    if (cursor.took(ask, allOf(found), found.walkedTo) && !room.isShort()) {
      floor = cursor.floor();
      fairly = undefined;
    }
    return found;
  }

  /** A step of a fair sweep. Resolves with whether its pass has come to its end. */
  async function sweepStepFairly(
    cursor: FairCursor,
    owner: number,
    rowsMax: number,
  ): Promise<Found & { isOver: boolean }> {
    // As each plain pass does. Rounds begin about as often.
    if (cursor.walkDueInMs() === 0) await store.declareDead();
    const ask = cursor.ask(rowsMax);
    if (ask === undefined) return { ...nothing, isOver: false };
    const claim = newClaim();
    const found = await timed(claim, () =>
      store.sweepFairly({
        ...ask,
        lookAheadMs,
        owner,
        claim,
        lanes: crowdedLanes(),
        lostClaims: [...lostClaims.keys()],
      }),
    );
    return { ...found, isOver: cursor.took(ask, allOf(found), found.walkedTo) };
  }

  /** A step of a plain sweep. */
  async function sweepStepPlainly(
    owner: number,
    rowsMax: number,
  ): Promise<Found & { isOver: boolean }> {
    await store.declareDead();
    const claim = newClaim();
    const found = await timed(claim, () =>
      store.sweep({
        floor: start,
        lookAheadMs,
        rowsMax,
        owner,
        claim,
        lanes: crowdedLanes(),
        lostClaims: [...lostClaims.keys()],
      }),
    );
    return { ...found, isOver: allOf(found).length < rowsMax };
  }

  const hasMoreAhead = () => fairly?.hasMore(crowd) === true;

  return {
    async poll(owner, rowsMax) {
      floor ??= clockFloor();
      // After an outage of the database, what fell due meanwhile is backlog: with a limit on that,
      // it is left to the sweep.
      const overdueMs = Math.floor(databaseClock.nowMs() - lookAheadMs);
      if (catchUp !== undefined) {
        if (floor.nextAtMs < overdueMs) floor = { nextAtMs: overdueMs, id: 0 };
        fairly?.raise(overdueMs);
      }
      if (fairly !== undefined) return pollFairly(fairly, owner, rowsMax);
      const from = floor;
      const claim = newClaim();
      const found = await timed(claim, () =>
        store.claimAhead({
          floor: from,
          lookAheadMs,
          rowsMax,
          owner,
          claim,
          lanes: crowdedLanes(),
        }),
      );
      const all = allOf(found);
      const last = lastOf(all);
      // A wake-up meanwhile has lowered the floor: then it stays there.
      if (last !== undefined && floor === from) floor = last;
      if (all.length === rowsMax || room.isShort()) {
        fairly = fairCursor({
          floor,
          floorOfRound: clockFloor,
          roomOf: (projectId) => room.of(projectId, aheadTimesFree),
          walkPauseMs: (walkedMs) =>
            Math.min(lookAheadMs, Math.max(walkPauseLeastMs, walkedMs / walkTimeShare)),
        });
      }
      return found;
    },
    async sweepStep(owner, rowsMax) {
      if (monotonicMs() < sweepDueAtMs || pace.restMs() > 0) return nothing;
      const rows = Math.min(pace.rowsMax(rowsMax), catchUp?.available() ?? rowsMax);
      if (rows < 1) return nothing;
      if (sweepsFairly === undefined) await forgetTheDead();
      const startedAtMs = monotonicMs();
      if (sweepsFairly === undefined) {
        longestStepMs = 0;
        passBeganAtMs = startedAtMs;
      }
      const { isOver, ...found } =
        sweepsFairly === undefined
          ? await sweepStepPlainly(owner, rows)
          : await sweepStepFairly(sweepsFairly, owner, rows);
      const tookMs = monotonicMs() - startedAtMs;
      const all = allOf(found);
      catchUp?.take(all.length);
      pace.found({ rows: all.length, parked: found.parked.length }, tookMs);
      longestStepMs = Math.max(longestStepMs, tookMs);
      if (!isOver) {
        sweepsFairly ??= fairCursor({
          floor: start,
          floorOfRound: () => start,
          roomOf: (projectId) => Math.min(room.ofBacklog(), room.of(projectId, backlogTimesFree)),
          walkPauseMs: (walkedMs) => sweepPauseMs(walkedMs),
        });
        return found;
      }
      sweepsFairly = undefined;
      sweepDueAtMs = monotonicMs() + sweepPauseMs(longestStepMs);
      forgetLostClaims();
      mayForget = true;
      return found;
    },
    async pull(owner, lane, rowsMax) {
      const claim = newClaim();
      return (await timed(claim, () => store.pull({ lane, owner, claim, rowsMax }))).timers;
    },
    async probe(owner, lanes, againInMs) {
      const claim = newClaim();
      return (await timed(claim, () => store.probe({ lanes, owner, claim, againInMs }))).timers;
    },
    async sampleClock() {
      const sentAtMs = monotonicMs();
      databaseClock.sample(await store.readClock(), sentAtMs, monotonicMs());
    },
    sweepDueInMs() {
      const restMs = pace.restMs();
      if (restMs > 0) return restMs;
      if (catchUp === undefined) {
        return sweepsFairly?.walkDueInMs() ?? Math.max(0, sweepDueAtMs - monotonicMs());
      }
      const fairlyDueInMs =
        sweepsFairly?.hasMore(1) === true ? 0 : (sweepsFairly?.walkDueInMs() ?? 0);
      return Math.max(sweepDueAtMs - monotonicMs(), fairlyDueInMs, catchUp.nextInMs());
    },
    hasMore: () =>
      hasMoreAhead() ||
      // With a limit, that says when.
      (catchUp === undefined && pace.restMs() === 0 && sweepsFairly?.hasMore(crowd) === true),
    hasMoreAhead,
    lowerFloor(dueAtMs) {
      // Before the first poll too: a wake-up for later must not hide what is due before it.
      floor ??= clockFloor();
      if (dueAtMs <= floor.nextAtMs) floor = { nextAtMs: dueAtMs, id: 0 };
      fairly?.lower(dueAtMs);
    },
    newClaim,
    lostClaim: (claim) => void lostClaims.set(claim, monotonicMs()),
  };
}

/** Where a step takes long (an old snapshot holds dead entries), the next pass waits longer. */
function sweepPauseMs(longestStepMs: number): number {
  return Math.min(sweepEveryMaxMs, Math.max(sweepEveryMs, longestStepMs / sweepTimeShare));
}

/** In no order. */
function allOf({ timers, parked }: Found): readonly (Floor & { readonly projectId: number })[] {
  return parked.length === 0 ? timers : [...timers, ...parked];
}

function lastOf(timers: readonly Floor[]): Floor | undefined {
  let last: Floor | undefined;
  for (const timer of timers) if (last === undefined || isBefore(last, timer)) last = timer;
  // Not the timer itself: its body would stay in memory with it.
  return last === undefined ? undefined : { nextAtMs: last.nextAtMs, id: last.id };
}
