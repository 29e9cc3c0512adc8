import assert from 'node:assert/strict';
import { BelfryError } from '../../../src/core/errors.ts';
import type { Outcome, Verdict } from '../../../src/core/attempt.ts';
import type { TimerId } from '../../../src/core/ids.ts';
import type { ClaimedTimer } from '../../../src/core/timer.ts';
import { createDatabaseClock } from '../../../src/scheduler/databaseClock.ts';
import type { Lease } from '../../../src/scheduler/lease.ts';
import { createScheduler, type SchedulerStore } from '../../../src/scheduler/scheduler.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import type { Job } from '../../../src/transport/transport.ts';
import type { FakeTime } from './time.ts';
import { claimedTimer } from './timers.ts';

interface Row {
  readonly id: number;
  readonly projectId: number;
  dueAtMs: number;
  owner: number | null;
  claim: number | null;
  attempts: number;
  failures: number;
  readonly bodyDeferred: boolean;
  readonly lostInRow: number;
}

type ClaimOptions = Parameters<SchedulerStore['claimAhead']>[0];
type FairClaimOptions = Parameters<SchedulerStore['claimAheadFairly']>[0];

/** Projects that one statement walks through here: few, so that tests come by several. */
const walkMax = 3;

/** What was sent, as the receiver would count it. */
export interface Firing {
  readonly id: TimerId;
  readonly attempt: number;
  readonly dueAtMs: number;
  /** The database's true clock when it was sent. */
  readonly atMs: number;
}

/**
 * A scheduler in a world of fakes: rows in memory under a database clock of its own, a lease that
 * is held or not as told, and a transport whose attempts start and end when told.
 */
export function schedulerWorld(
  time: FakeTime,
  options: {
    /** How far the database's clock runs ahead of what replies have told. */
    latencyMs?: number;
    catchUpRate?: number;
    heldRowsMax?: number;
    /** Attempts start as soon as they are handed over; otherwise by `admit`. */
    startAtOnce?: boolean;
  } = {},
) {
  const { latencyMs = 0, startAtOnce = true } = options;
  const databaseNowMs = () => time.clock.monotonicMs() + 1e12;
  const databaseClock = createDatabaseClock(time.clock);
  const sampled = () => databaseNowMs() - latencyMs;
  databaseClock.sample(sampled(), time.clock.monotonicMs(), time.clock.monotonicMs());

  const rows = new Map<number, Row>();
  const deadOwners = new Set<number>();
  const firings: Firing[] = [];
  const finished = new Map<number, Verdict>();
  const released: number[] = [];
  const stale: number[] = [];
  let storeError: Error | undefined;
  let releaseError: Error | undefined;
  let bodies = Promise.resolve();
  let nextId = 1;

  function take(
    { floor, lookAheadMs, rowsMax, owner, claim }: ClaimOptions,
    may: (row: Row) => boolean,
  ) {
    if (storeError !== undefined) return Promise.reject(storeError);
    const taken = dueRows({ floor, lookAheadMs, may }).slice(0, rowsMax);
    for (const row of taken) Object.assign(row, { owner, claim });
    return Promise.resolve({
      timers: taken.map(asClaimed),
      parked: [],
      databaseNowMs: sampled(),
    });
  }

  function takeFairly(
    { known, walkFrom, most, floor, lookAheadMs, rowsMax, owner, claim }: FairClaimOptions,
    may: (row: Row) => boolean,
  ) {
    if (storeError !== undefined) return Promise.reject(storeError);
    const projects = new Set(
      [...rows.values()]
        .map(({ projectId }) => projectId)
        .filter((id) => walkFrom !== null && id > walkFrom)
        .toSorted((a, b) => a - b)
        .slice(0, walkMax),
    );
    const shares =
      walkFrom === null
        ? known
        : [...projects].map(
            (projectId) =>
              known.find((share) => share.projectId === projectId) ?? { projectId, floor, most },
          );
    const taken: Row[] = [];
    for (const share of shares) {
      const isOfProject = (row: Row) => may(row) && row.projectId === share.projectId;
      const due = dueRows({ floor: share.floor, lookAheadMs, may: isOfProject });
      taken.push(...due.slice(0, Math.min(share.most, rowsMax - taken.length)));
    }
    for (const row of taken) Object.assign(row, { owner, claim });
    return Promise.resolve({
      timers: taken.map(asClaimed),
      parked: [],
      databaseNowMs: sampled(),
      walkedTo: projects.size === walkMax ? Math.max(...projects) : null,
    });
  }

  function dueRows({
    floor,
    lookAheadMs,
    may,
  }: Pick<ClaimOptions, 'floor' | 'lookAheadMs'> & { may: (row: Row) => boolean }): Row[] {
    return [...rows.values()]
      .filter(
        (row) =>
          may(row) &&
          row.dueAtMs <= databaseNowMs() + lookAheadMs &&
          (row.dueAtMs > floor.nextAtMs || (row.dueAtMs === floor.nextAtMs && row.id > floor.id)),
      )
      .toSorted((a, b) => a.dueAtMs - b.dueAtMs || a.id - b.id);
  }

  function asClaimed(row: Row): ClaimedTimer {
    const { id, projectId, attempts, failures, lostInRow, bodyDeferred } = row;
    return claimedTimer({
      id,
      projectId,
      owner: row.owner ?? -1,
      claim: row.claim ?? -1,
      nextAtMs: row.dueAtMs,
      attempts,
      failures,
      lostInRow,
      bodyDeferred,
    });
  }

  const isFenced = (timer: Pick<ClaimedTimer, 'id' | 'owner' | 'claim'>) => {
    const row = rows.get(timer.id);
    return row !== undefined && row.owner === timer.owner && row.claim === timer.claim;
  };

  const maySweep = (ask: { owner: number; lostClaims: readonly number[] }) => (row: Row) =>
    row.owner === null ||
    deadOwners.has(row.owner) ||
    (row.owner === ask.owner && ask.lostClaims.includes(row.claim ?? -1));

  const store: SchedulerStore = {
    claimAhead: (ask) => take(ask, (row) => row.owner === null),
    sweep: (ask) => take(ask, maySweep(ask)),
    claimAheadFairly: (ask) => takeFairly(ask, (row) => row.owner === null),
    sweepFairly: (ask) => takeFairly(ask, maySweep(ask)),
    // Nobody waits in lanes here.
    pull: () => Promise.resolve({ timers: [], databaseNowMs: -Infinity }),
    probe: () => Promise.resolve({ timers: [], databaseNowMs: -Infinity }),
    readClock: () =>
      storeError === undefined ? Promise.resolve(sampled()) : Promise.reject(storeError),
    declareDead: () => Promise.resolve([]),
    forget: () => Promise.resolve(),
    markStart: (timer) => Promise.resolve(isFenced(timer)),
    async fetchBody(timer) {
      await bodies;
      return isFenced(timer) ? Buffer.from(`body of ${timer.id}`) : undefined;
    },
    release(timers) {
      if (releaseError !== undefined) return Promise.reject(releaseError);
      for (const timer of timers) {
        const row = rows.get(timer.id);
        if (row === undefined || !isFenced(timer)) continue;
        row.owner = null;
        row.claim = null;
        released.push(timer.id);
      }
      return Promise.resolve();
    },
  };

  let owner: number | undefined = 1;
  let trusted = true;
  const lease: Lease = {
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    retire: () => Promise.resolve(),
    owner: () => owner,
    mayStart: () => trusted && owner !== undefined,
    ageMs: () => 0,
  };

  interface Handed {
    readonly job: Job;
    readonly finish: (outcome: Outcome) => void;
    started: boolean;
    /** A slot is won: it cannot be recalled any more. */
    preparing?: boolean;
  }
  const handed = new Map<TimerId, Handed>();

  function begin(one: Handed): void {
    if (!one.job.mayStart()) {
      handed.delete(one.job.timerId);
      one.finish({ kind: 'not_started', reason: 'lease_ended' });
      return;
    }
    one.started = true;
    const { timerId: id, attempt, dueAtMs } = one.job;
    firings.push({ id, attempt, dueAtMs, atMs: databaseNowMs() });
    one.job.onStart();
  }

  /** As the delivery does once a slot is won. */
  function admit(one: Handed): void {
    const prepared = one.job.prepare();
    if (!(prepared instanceof Promise)) {
      begin(one);
      return;
    }
    one.preparing = true;
    const end = (reason: 'taken_over' | 'not_prepared') => {
      handed.delete(one.job.timerId);
      one.finish({ kind: 'not_started', reason });
    };
    prepared.then(
      (request) => (request === undefined ? end('taken_over') : begin(one)),
      () => end('not_prepared'),
    );
  }

  const scheduler = createScheduler({
    store,
    recorder: {
      add({ timer, verdict }) {
        const row = rows.get(timer.id);
        if (row === undefined || !isFenced(timer)) {
          stale.push(timer.id);
          return Promise.resolve('stale');
        }
        if (verdict.kind === 'retry') {
          row.owner = null;
          row.claim = null;
          row.attempts += 1;
          row.failures += 1;
          row.dueAtMs = Math.ceil(databaseNowMs() + verdict.delayMs);
        } else {
          rows.delete(timer.id);
          finished.set(timer.id, verdict);
        }
        return Promise.resolve('recorded');
      },
    },
    secrets: { resolve: () => Promise.reject(new Error('no timer here has secrets')) },
    signing: {
      known: () => [],
      read: () => Promise.resolve([]),
      refresh: () => Promise.resolve(),
    },
    transport: {
      deliver: (job) =>
        new Promise((finish) => {
          const one = { job, finish, started: false };
          handed.set(job.timerId, one);
          if (startAtOnce) admit(one);
        }),
      recall(timerId) {
        const one = handed.get(timerId);
        if (one === undefined || one.started || one.preparing === true) return false;
        handed.delete(timerId);
        one.finish({ kind: 'not_started', reason: 'recalled' });
        return true;
      },
    },
    lease,
    clock: time.clock,
    databaseClock,
    log: silentLog(),
    metrics: createMetrics(() => 0),
    lookAheadMs: 1_000,
    catchUpRate: options.catchUpRate,
    retryDefaults: {
      attemptsMax: 3,
      baseMs: 100,
      factor: 2,
      capMs: 1_000,
      jitter: 0,
      ageMaxMs: null,
    },
    heldRowsMax: options.heldRowsMax ?? 1_000,
    heldBytesMax: 100_000_000,
    rowBytesMax: 1_000,
    random: () => 0.5,
  });

  return {
    scheduler,
    rows,
    firings,
    finished,
    released,
    stale,
    databaseNowMs,
    firedIds: () => firings.map(({ id }) => id),
    waiting: () => [...handed.keys()].filter((id) => handed.get(id)?.started === false),
    underWay: () => [...handed.keys()].filter((id) => handed.get(id)?.started === true),
    /** A timer is committed unclaimed; whoever created it has not woken anybody yet. */
    insert(dueInMs: number, over: Partial<Row> = {}): TimerId {
      const id = nextId++;
      rows.set(id, {
        id,
        projectId: 1,
        dueAtMs: Math.ceil(databaseNowMs()) + dueInMs,
        owner: null,
        claim: null,
        attempts: 0,
        failures: 0,
        lostInRow: 0,
        bodyDeferred: false,
        ...over,
      });
      return id as TimerId;
    },
    /** The row as the scheduler would be handed it after an insert under a claim. */
    claimedAs(id: number, fence: { owner: number; claim: number }): ClaimedTimer {
      const row = rows.get(id);
      if (row === undefined) throw new Error(`no row ${id}`);
      Object.assign(row, fence);
      return asClaimed(row);
    },
    /** Lets attempts that were handed over start. */
    admit(): void {
      for (const one of handed.values()) if (!one.started) admit(one);
    },
    /** Ends an attempt under way. */
    end(id: TimerId, status = 200): void {
      const one = handed.get(id);
      if (one?.started !== true) throw new Error(`timer ${id} is not under way`);
      handed.delete(id);
      const isSuccess = status >= 200 && status < 300;
      one.finish({
        kind: 'attempted',
        attempt: {
          startedAtMs: databaseNowMs(),
          latenessMs: 0,
          durationMs: 0,
          status,
          errorCode: isSuccess ? null : 'http_status',
        },
      });
    },
    trust(value: boolean): void {
      trusted = value;
      if (value) scheduler.resume();
    },
    /** The heartbeat lapsed: this process goes on under another identity. */
    changeIdentity(): void {
      const before = owner ?? 0;
      deadOwners.add(before);
      owner = before + 1;
      scheduler.dropOwner(before);
    },
    /** Bodies are not answered before the function that this returns is called. */
    holdBodies(): () => void {
      const gate = Promise.withResolvers<void>();
      bodies = gate.promise;
      return gate.resolve;
    },
    /** Claims fail. Giving back does so only by `breakRelease`: it pauses in real time. */
    breakStore(): void {
      storeError = new BelfryError('store_unavailable', 'the database is gone');
    },
    breakRelease(): void {
      releaseError = new BelfryError('commit_unknown', 'connection lost');
    },
    mendStore(): void {
      storeError = undefined;
      releaseError = undefined;
    },
  };
}

export type World = ReturnType<typeof schedulerWorld>;

export function assertNeverEarly({ firings }: World): void {
  for (const { id, dueAtMs, atMs } of firings) {
    assert.ok(atMs >= dueAtMs, `timer ${id} was ${dueAtMs - atMs} ms early`);
  }
}

/** Stops the scheduler without waiting for attempts under way. */
export async function stopped(time: FakeTime, world: World): Promise<void> {
  const aborted = new AbortController();
  aborted.abort();
  const stopping = world.scheduler.stop(aborted.signal);
  await time.advance(3_000, 100);
  await stopping;
}
