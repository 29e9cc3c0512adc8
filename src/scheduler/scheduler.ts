import type { MachineClock } from '../core/clock.ts';
import type { DestinationBook } from '../core/destination.ts';
import type { TimerId } from '../core/ids.ts';
import type { RetryPolicy } from '../core/retryPolicy.ts';
import { originOf } from '../core/target.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Transport } from '../transport/transport.ts';
import { createAlarm } from './alarm.ts';
import { createAttempts, type AttemptStore, type OutcomeRecorder } from './attempts.ts';
import { createClaimer, type ClaimStore } from './claimer.ts';
import { createClaimLoop } from './claimLoop.ts';
import { createClaimTurns } from './claimTurns.ts';
import type { DatabaseClock } from './databaseClock.ts';
import type { Admissions } from './admissions.ts';
import type { DestinationLanes } from './destinationLanes.ts';
import type { Breaker } from './breaker.ts';
import { createHoldings, type Admission, type Holding, type HoldingPhase } from './holdings.ts';
import type { Lanes } from './lanes.ts';
import { leaseRetryMs, type Lease } from './lease.ts';
import { createParking, type Parked } from './parking.ts';
import { createPlaces, noDestinations, noLanes } from './places.ts';
import type { PullingScheduler } from './pulls.ts';
import type { SecretRequests } from './secretRequests.ts';
import type { SigningKeys } from './signingKeys.ts';

type Fence = Pick<ClaimedTimer, 'id' | 'owner' | 'claim'>;

/** What the scheduler needs of the store. */
export interface SchedulerStore extends ClaimStore, AttemptStore {
  release(timers: readonly Fence[]): Promise<unknown>;
}

/** A timer that was taken out of the heap, so that it cannot start, until one of both is called. */
export interface TakenTimer {
  readonly timer: ClaimedTimer;
  /** The change is committed: the timer is not ours any more. */
  done(): void;
  /** The change failed: the timer fires as planned. */
  putBack(): void;
  /** Whether the change was committed is not known: if it was not, the timer is given back. */
  unknown(): void;
}

/** Room for timers that are about to be inserted already claimed. */
export interface NearReservation {
  readonly owner: number;
  readonly claim: number;
  /** Timers due within this after the insert are to be claimed by it. */
  readonly withinMs: number;
  settle(claimed: readonly ClaimedTimer[]): void;
  lost(): void;
}

/**
 * Claims timers ahead of their due time, holds them until the millisecond and hands them over.
 *
 * Modes: `running` (claims while the lease is held), `draining` (nothing new starts; what has
 * started is waited for and recorded; the rest is given back), `stopped`.
 */
export interface Scheduler extends PullingScheduler {
  start(): void;
  /** Drains until `deadline` aborts, then gives back what never started. Tolerates repetition. */
  stop(deadline: AbortSignal): Promise<void>;
  /** There may be unclaimed timers due from this instant on: look at once. */
  wake(dueAtMs: number): void;
  /** Undefined when there is no room or no lease: the timers are inserted unclaimed. */
  reserve(rows: number): NearReservation | undefined;
  /** Takes a timer that has not started out of the heap; otherwise says why not. */
  takeBack(id: TimerId): TakenTimer | 'started' | 'not_held';
  /** Lanes have been closed: what is held of them and has not started is parked. */
  holdUp(): void;
  /** Where a timer stands in this process; undefined when it is not held. */
  phaseOf(id: TimerId): HoldingPhase | undefined;
  /** Gives up all that is held under an identity that was lost. */
  dropOwner(owner: number): void;
  /** The lease is held (again): fire what waited for it. */
  resume(): void;
  held(): number;
  /** Milliseconds since the claim loop last completed a turn. */
  loopAgeMs(): number;
}

const claimRowsMax = 500;
/** The share of the room that a backlog may fill. */
const sweepShare = 0.75;
/** That timers may fill that are inserted already claimed; what they leave is shared among projects. */
const nearShare = 0.75;
/** Outcomes after which it is looked whether there is room for a crowd. */
const lookEveryRecorded = 64;

const probing: Admission = { isProbe: true, end: () => undefined };

export function createScheduler(options: {
  store: SchedulerStore;
  recorder: OutcomeRecorder;
  secrets: SecretRequests;
  /** None: nothing is set. */
  book?: Pick<DestinationBook, 'settingsOfUrl'>;
  signing: SigningKeys;
  transport: Transport;
  lease: Lease;
  /** None: all timers may start. */
  lanes?: Pick<Lanes, 'laneOf' | 'park'>;
  /** None: at any destination. */
  destinations?: {
    readonly lanes: Pick<
      DestinationLanes,
      'waitsAt' | 'isClosed' | 'park' | 'crowded' | 'parkedByClaim'
    >;
    readonly admissions: Pick<Admissions, 'admit'>;
    readonly breaker: Breaker;
  };
  clock: MachineClock;
  databaseClock: DatabaseClock;
  log: Logger;
  metrics: Metrics;
  lookAheadMs: number;
  catchUpRate: number | undefined;
  retryDefaults: RetryPolicy;
  heldRowsMax: number;
  heldBytesMax: number;
  rowBytesMax: number;
  /** A timer of this project has come to its end, as is recorded. */
  onEnded?: (projectId: number) => void;
  random?: () => number;
}): Scheduler {
  const { store, lease, clock, databaseClock, log, metrics } = options;
  const { lookAheadMs, catchUpRate } = options;
  const { lanes = noLanes, destinations = noDestinations } = options;
  const { placeOf, placeOfHolding, mayStartAt } = createPlaces(lanes, destinations.lanes);
  const holdings = createHoldings({
    rowsMax: options.heldRowsMax,
    bytesMax: options.heldBytesMax,
    rowBytesMax: options.rowBytesMax,
  });
  const claimer = createClaimer({
    store,
    clock,
    databaseClock,
    lookAheadMs,
    catchUpRate,
    room: {
      of: holdings.roomOf,
      ofBacklog: () => holdings.room(sweepShare),
      holders: holdings.holders,
      isShort: () => holdings.room(nearShare) < 1,
    },
    crowdedLanes: destinations.lanes.crowded,
    crowd: Math.min(claimRowsMax, Math.ceil(holdings.room() / 2)),
  });
  const claimTurns = createClaimTurns({
    claimer,
    rowsMax: claimRowsMax,
    owner: () => (lease.mayStart() ? lease.owner() : undefined),
    room: holdings.room,
    roomOfBacklog: () => holdings.room(sweepShare),
    takeIn,
    onParked(parked) {
      destinations.lanes.parkedByClaim(parked);
      metrics.parked.inc({ lane: 'destination' }, parked.length);
    },
    monotonicMs: clock.monotonicMs,
    random: options.random ?? Math.random,
  });
  const alarm = createAlarm(fireDue);
  /** Claims out of lanes that are under way; see stop. */
  const pulling = new Set<Promise<unknown>>();
  const attempts = createAttempts({
    ...options,
    holdings,
    mayStart: (holding) =>
      mode === 'running' &&
      holding.timer.owner === lease.owner() &&
      lease.mayStart() &&
      mayStartAt(holding),
    admit: destinations.admissions.admit,
    breaker: destinations.breaker,
    onRefused(holding) {
      holdings.remove(holding);
      const { timer } = holding;
      parking.parkSoon({ timer, place: { origin: originOf(timer.request.url) } });
    },
    giveBack: (holding) => letGo([holding]),
    onLeaseEnded: () => alarm.set(leaseRetryMs),
    onRecorded(retryInMs) {
      if (retryInMs < 2 * lookAheadMs) {
        // Behind the floor, perhaps.
        claimTurns.lowerFloor(Math.floor(databaseClock.nowMs()));
        loop.lookNow();
      } else {
        recorded += 1;
        if (recorded % lookEveryRecorded === 0 && claimer.hasMore()) loop.lookNow();
      }
    },
  });
  const parking = createParking({
    store,
    lanes,
    destinations: destinations.lanes,
    owner: lease.owner,
    log,
    metrics,
  });
  let mode: 'running' | 'draining' | 'stopped' = 'stopped';
  const loop = createClaimLoop({ turn: claimTurns.turn, log, monotonicMs: clock.monotonicMs });
  let recorded = 0;

  // ---- claiming

  /** Where some may not start, a promise that resolves when they are parked. */
  function takeIn(owner: number, timers: readonly ClaimedTimer[]): Promise<void> | undefined {
    // The identity changed meanwhile: whoever sweeps next finds the owner dead.
    if (owner !== lease.owner()) return undefined;
    const heldUp: Parked[] = [];
    for (const timer of timers) {
      if (timer.lostInRow > 0) metrics.takenOver.inc();
      const place = placeOf(timer);
      if (place === undefined) holdings.add(timer);
      else heldUp.push({ timer, place });
    }
    // While draining they wait in the heap, to be given back with the rest.
    fireDue();
    return heldUp.length > 0 ? parking.park(heldUp) : undefined;
  }

  /** Out of lanes: each goes on with one of these. Resolves with how many. */
  function pullIn(...args: Parameters<typeof pullInOnce>): Promise<number> {
    const pull = pullInOnce(...args).finally(() => pulling.delete(pull));
    pulling.add(pull);
    return pull;
  }

  async function pullInOnce(
    admissions: readonly Admission[],
    statement: (owner: number) => Promise<readonly ClaimedTimer[]>,
  ): Promise<number> {
    const owner = lease.owner();
    if (owner === undefined || !holdings.reserve(admissions.length)) return 0;
    const timers = await statement(owner).finally(() => holdings.unreserve(admissions.length));
    // The identity changed meanwhile: see takeIn.
    if (owner !== lease.owner()) return 0;
    for (const [index, timer] of timers.entries()) holdings.add(timer, admissions[index]);
    metrics.pulled.inc(timers.length);
    fireDue();
    return timers.length;
  }

  // ---- firing

  function fireDue(): void {
    const heldUp: Parked[] = [];
    fireDueBut(heldUp);
    if (heldUp.length > 0) void parking.park(heldUp);
  }

  /** Sorts out those that may not start for now. */
  function fireDueBut(heldUp: Parked[]): void {
    for (;;) {
      const holding = holdings.next();
      if (holding === undefined || mode !== 'running') return alarm.clear();
      // Put back after its identity was lost: others may have taken it over by now.
      if (holding.timer.owner !== lease.owner()) {
        holdings.remove(holding);
        continue;
      }
      const waitMs = holding.timer.nextAtMs - databaseClock.nowMs();
      if (waitMs > 0) return alarm.set(waitMs);
      const place = placeOfHolding(holding);
      if (place !== undefined) {
        holdings.remove(holding);
        heldUp.push({ timer: holding.timer, place });
        continue;
      }
      if (!lease.mayStart()) return alarm.set(leaseRetryMs);
      holdings.takeNext();
      attempts.begin(holding);
    }
  }

  function letGo(dropped: readonly Holding[], triesMax?: number): Promise<void> {
    for (const holding of dropped) holdings.remove(holding);
    return parking.release(
      dropped.map(({ timer: { id, owner, claim } }) => ({ id, owner, claim })),
      triesMax,
    );
  }

  return {
    start() {
      if (mode !== 'stopped' || loop.hasRun()) return;
      mode = 'running';
      loop.start();
    },
    async stop(deadline) {
      if (mode !== 'running') return;
      mode = 'draining';
      alarm.clear();
      await loop.stop();
      await Promise.allSettled(pulling);
      for (const holding of holdings.all()) {
        if (holding.phase === 'handed') attempts.recall(holding.timer.id);
      }
      await attempts.quiet(deadline);
      mode = 'stopped';
      const unstarted = [...holdings.all()].filter(
        ({ phase }) => phase === 'waiting' || phase === 'handed',
      );
      for (let from = 0; from < unstarted.length; from += claimRowsMax) {
        await letGo(unstarted.slice(from, from + claimRowsMax), 3);
      }
    },
    wake(dueAtMs) {
      claimTurns.lowerFloor(dueAtMs);
      loop.lookNow();
    },
    reserve(rows) {
      const owner = lease.owner();
      if (mode !== 'running' || owner === undefined || !lease.mayStart()) return undefined;
      if (holdings.room(nearShare) < rows || !holdings.reserve(rows)) return undefined;
      const claim = claimer.newClaim();
      return {
        owner,
        claim,
        withinMs: 2 * lookAheadMs,
        settle(claimed) {
          holdings.unreserve(rows);
          if (claimed.length > 0) void takeIn(owner, claimed);
        },
        lost() {
          holdings.unreserve(rows);
          claimer.lostClaim(claim);
        },
      };
    },
    takeBack(id) {
      const holding = holdings.get(id);
      if (holding === undefined) return 'not_held';
      const { phase } = holding;
      if (phase === 'started' || phase === 'recording' || phase === 'taken') return 'started';
      if (phase === 'handed' && !attempts.recall(id)) return 'started';
      holding.phase = 'taken';
      return {
        timer: holding.timer,
        done: () => holdings.remove(holding),
        putBack() {
          holdings.wait(holding);
          fireDue();
        },
        unknown: () => void letGo([holding]),
      };
    },
    holdUp() {
      const heldUp: Parked[] = [];
      for (const holding of holdings.all()) {
        const { phase, timer } = holding;
        if (phase !== 'waiting' && phase !== 'handed') continue;
        // What was handed over before others had to wait goes on.
        if (phase === 'handed' && mayStartAt(holding)) continue;
        const place = placeOfHolding(holding);
        if (place === undefined || (phase === 'handed' && !attempts.recall(timer.id))) continue;
        heldUp.push({ timer, place });
        holdings.remove(holding);
      }
      if (heldUp.length > 0) void parking.park(heldUp);
    },
    roomToPull() {
      const mayPull = mode === 'running' && lease.owner() !== undefined && lease.mayStart();
      return mayPull ? holdings.room(sweepShare) : 0;
    },
    pull: (lane, admissions) =>
      pullIn(admissions, (owner) => claimer.pull(owner, lane, admissions.length)),
    probe: (laneIds, againInMs) =>
      pullIn(
        laneIds.map(() => probing),
        (owner) => claimer.probe(owner, laneIds, againInMs),
      ),
    phaseOf: (id) => holdings.get(id)?.phase,
    dropOwner(owner) {
      metrics.leaseLost.inc();
      for (const holding of holdings.all()) {
        if (holding.timer.owner !== owner) continue;
        if (holding.phase === 'handed') attempts.recall(holding.timer.id);
        if (holding.phase === 'waiting' || holding.phase === 'handed') holdings.remove(holding);
      }
    },
    resume: fireDue,
    held: () => holdings.size(),
    loopAgeMs: loop.ageMs,
  };
}
