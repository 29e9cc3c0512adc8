import type { AttemptErrorCode, FailureCode } from './attempt.ts';
import type { BreakerReason } from './breaker.ts';
import type { TimerStatus } from './timer.ts';

/** Why a timer has not fired. What one says is in the docs of the API: docs/guides/why-not-fired.md. */
export const blockerCodes = [
  'ended',
  'in_flight',
  'expiring',
  'not_due',
  'retry_wait',
  'project_paused',
  'project_draining',
  'destination_paused',
  'destination_disabled',
  'breaker',
  'rate',
  'concurrency',
  'destination_busy',
  'lease',
  'no_process',
  'claiming',
] as const;
export type BlockerCode = (typeof blockerCodes)[number];

/** One thing that keeps a timer from firing. Instants in milliseconds of the Unix epoch. */
export interface Blocker {
  readonly code: BlockerCode;
  /** One sentence. */
  readonly message: string;
  /** Since when it holds. */
  readonly sinceMs?: number | null;
  /** When it ends by itself; null: it does not, or nobody can say. */
  readonly untilMs: number | null;
  /** Scheme, host and port. */
  readonly destination?: string;
  /** The attempt that is under way, or that failed last. */
  readonly attempt?: number;
  readonly errorCode?: AttemptErrorCode | null;
  /** Timers that leave the same lane before it, `countMax` at the most. */
  readonly ahead?: number;
  /** Attempts a second, or at once. */
  readonly limit?: number;
  readonly breaker?: BreakerReason;
  /** The id of the process that holds it. */
  readonly heldBy?: number;
}

/** All that decides, as of one moment. */
export interface TimerStanding {
  readonly nowMs: number;
  readonly status: TimerStatus;
  readonly nextAtMs: number | null;
  /** It does not start from then on; null: never too late. */
  readonly expiresAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly failureCode: FailureCode | null;
  /** Attempts made, and what the last one came to. */
  readonly attempts: number;
  readonly lastErrorCode: AttemptErrorCode | null;
  readonly origin: string;
  readonly owner: {
    readonly id: number;
    /** When its heartbeat lapses; null where it is not known any more. */
    readonly expiresAtMs: number | null;
  } | null;
  /** Of the project, while it is paused or lets go what has gathered. */
  readonly projectLane: {
    readonly state: 'closed' | 'draining';
    readonly sinceMs: number;
  } | null;
  /** Of its destination, while somebody waits there. */
  readonly destinationLane: {
    readonly sinceMs: number;
    readonly isClosed: boolean;
    readonly reason: BreakerReason | null;
    readonly failingSinceMs: number | null;
    /** Null: none will be. */
    readonly nextProbeAtMs: number | null;
  } | null;
  /** What is set of its destination. */
  readonly settings: {
    readonly isPaused: boolean;
    readonly ratePerSecond: number | null;
    readonly concurrencyMax: number | null;
  } | null;
  /** Of what the lane is in which it waits, and behind how many. */
  readonly parkedIn: 'project' | 'destination' | null;
  readonly ahead: number;
  /** Whether any process lives that fires timers. */
  readonly isServed: boolean;
}

export interface Explanation {
  readonly status: TimerStatus;
  readonly nowMs: number;
  /** What keeps it now. */
  readonly blocker: Blocker;
  /** What would keep it next. */
  readonly also: readonly Blocker[];
  /** When it is expected to fire, or when the attempt under way ends at the latest; null: nobody can say, or never. */
  readonly expectedAtMs: number | null;
}

/** As far as those before it in a lane are counted. */
export const countMax = 10_000;
/** From due to its claim, when it was committed late or its owner died: a sweep, and the mark of a death. */
const claimWithinMs = 1_000;
const takeOverWithinMs = 2_000;
/** What a project lets go a second when it is resumed. */
const drainedPerSecond = 1_000;

/**
 * One answer to "why has it not fired?". What keeps a timer that is not due comes before what would keep it
 * then; of what keeps one that is due, what is widest comes first: its project, its destination, limits.
 */
export function explain(standing: TimerStanding): Explanation {
  const { status, nowMs, nextAtMs, expiresAtMs } = standing;
  if (nextAtMs === null) return alone(standing, ended(standing));
  if (status === 'delivering') return alone(standing, inFlight(standing));
  if (expiresAtMs !== null && expiresAtMs <= nowMs) return alone(standing, expiring(expiresAtMs));
  const standingOnes = lasting(standing);
  const blockers =
    nextAtMs > nowMs
      ? [waiting(standing, nextAtMs), ...standingOnes]
      : standingOnes.length > 0
        ? standingOnes
        : [takenUp(standing)];
  const expectedAtMs = latest(blockers, nowMs);
  const [blocker = takenUp(standing), ...also] = blockers;
  if (expiresAtMs === null || (expectedAtMs ?? 0) < expiresAtMs) {
    return { status, nowMs, blocker, also, expectedAtMs };
  }
  return { status, nowMs, blocker, also: [...also, expiring(expiresAtMs)], expectedAtMs: null };
}

function alone({ status, nowMs }: TimerStanding, blocker: Blocker): Explanation {
  return { status, nowMs, blocker, also: [], expectedAtMs: null };
}

/** When the last of them ends; null where one does not. */
function latest(blockers: readonly Blocker[], nowMs: number): number | null {
  let latestMs = nowMs;
  for (const { untilMs } of blockers) {
    if (untilMs === null) return null;
    latestMs = Math.max(latestMs, untilMs);
  }
  return latestMs;
}

function ended({ status, failureCode, finishedAtMs }: TimerStanding): Blocker {
  const how = failureCode === null ? status : `${status} (${failureCode})`;
  return {
    code: 'ended',
    message: `It is over: ${how}. Nothing more is sent.`,
    sinceMs: finishedAtMs,
    untilMs: null,
  };
}

function inFlight({ attempts, owner, origin }: TimerStanding): Blocker {
  return {
    code: 'in_flight',
    message: `Attempt ${attempts + 1} is due and its process lives: it is under way, or about to be.`,
    untilMs: null,
    destination: origin,
    attempt: attempts + 1,
    ...(owner === null ? {} : { heldBy: owner.id }),
  };
}

function expiring(expiresAtMs: number): Blocker {
  return {
    code: 'expiring',
    message: 'It cannot start before it expires: it ends as failed (expired).',
    sinceMs: expiresAtMs,
    untilMs: null,
  };
}

function waiting({ attempts, lastErrorCode }: TimerStanding, nextAtMs: number): Blocker {
  if (attempts === 0) {
    return { code: 'not_due', message: 'It is not due yet.', untilMs: nextAtMs };
  }
  const why = lastErrorCode === null ? '' : ` (${lastErrorCode})`;
  return {
    code: 'retry_wait',
    message: `Attempt ${attempts} has failed${why}; the next one is not due yet.`,
    untilMs: nextAtMs,
    attempt: attempts,
    errorCode: lastErrorCode,
  };
}

/** What would keep any timer of its project and destination. */
function lasting(standing: TimerStanding): Blocker[] {
  const { projectLane, settings, origin, parkedIn } = standing;
  const found: Blocker[] = [];
  // One that drains keeps what is parked in it, and no other.
  if (projectLane?.state === 'closed' || (projectLane !== null && parkedIn === 'project'))
    found.push(projectBlocker(standing, projectLane));
  if (settings?.isPaused === true) {
    found.push({
      code: 'destination_paused',
      message: `${origin} is paused: nothing is sent to it until it is resumed.`,
      untilMs: null,
      destination: origin,
    });
  }
  const closed = closedBlocker(standing);
  if (closed !== undefined) found.push(closed);
  // Rates and limits keep only what waits for them.
  if (found.length === 0 && parkedIn === 'destination') found.push(limitBlocker(standing));
  return found;
}

function projectBlocker(
  { nowMs, ahead }: TimerStanding,
  { state, sinceMs }: NonNullable<TimerStanding['projectLane']>,
): Blocker {
  if (state === 'closed') {
    return {
      code: 'project_paused',
      message: 'The project is paused: nothing of it is sent until it is resumed.',
      sinceMs,
      untilMs: null,
    };
  }
  const behind = ahead;
  return {
    code: 'project_draining',
    message: `The project was resumed: what has gathered is let go, ${drainedPerSecond} a second at the most.`,
    sinceMs,
    untilMs: behind >= countMax ? null : nowMs + (behind / drainedPerSecond) * 1_000,
    ahead: behind,
  };
}

function closedBlocker(standing: TimerStanding): Blocker | undefined {
  const { destinationLane: lane, origin, parkedIn, ahead } = standing;
  if (lane?.isClosed !== true) return undefined;
  const { reason, failingSinceMs: sinceMs, nextProbeAtMs } = lane;
  const shared = { sinceMs, destination: origin, ...(parkedIn === 'destination' ? { ahead } : {}) };
  if (reason === 'disabled' || nextProbeAtMs === null) {
    return {
      ...shared,
      code: 'destination_disabled',
      message: `${origin} has failed for so long that it is not tried any more, until its breaker is reset.`,
      untilMs: null,
      breaker: 'disabled',
    };
  }
  const does = reason === 'slowed' ? 'asked for less' : 'does not answer, or with errors';
  return {
    ...shared,
    code: 'breaker',
    message: `${origin} ${does}: one timer at a time is sent as a probe, and all once one succeeds.`,
    untilMs: nextProbeAtMs,
    breaker: reason ?? 'failing',
  };
}

function limitBlocker({ nowMs, settings, destinationLane, origin, ahead }: TimerStanding): Blocker {
  const shared = { sinceMs: destinationLane?.sinceMs ?? null, destination: origin, ahead };
  const { ratePerSecond = null, concurrencyMax = null } = settings ?? {};
  if (ratePerSecond !== null) {
    return {
      ...shared,
      code: 'rate',
      message: `${origin} is sent ${ratePerSecond} a second at the most, and others are before it.`,
      untilMs: ahead >= countMax ? null : nowMs + ((ahead + 1) / ratePerSecond) * 1_000,
      limit: ratePerSecond,
    };
  }
  if (concurrencyMax !== null) {
    return {
      ...shared,
      code: 'concurrency',
      message: `${origin} is sent ${concurrencyMax} at once at the most, and others are before it.`,
      untilMs: null,
      limit: concurrencyMax,
    };
  }
  return {
    ...shared,
    code: 'destination_busy',
    message: `${origin} answers more slowly than timers for it fall due, and others are before it.`,
    untilMs: null,
  };
}

/** Due, and nothing of its own keeps it: whose turn it is. */
function takenUp({ owner, nowMs, isServed }: TimerStanding): Blocker {
  if (owner !== null && owner.expiresAtMs !== null && owner.expiresAtMs > nowMs) {
    return {
      code: 'lease',
      message: 'A process holds it and is about to send it, or to record what came of that.',
      untilMs: nowMs,
      heldBy: owner.id,
    };
  }
  if (!isServed) {
    return {
      code: 'no_process',
      message: 'No process that fires timers is alive.',
      untilMs: null,
    };
  }
  if (owner !== null) {
    return {
      code: 'lease',
      message: 'The process that held it has died: another takes it over.',
      sinceMs: owner.expiresAtMs,
      untilMs: Math.max(nowMs, owner.expiresAtMs ?? nowMs) + takeOverWithinMs,
      heldBy: owner.id,
    };
  }
  return {
    code: 'claiming',
    message: 'It is due, and the next process that looks takes it.',
    untilMs: nowMs + claimWithinMs,
  };
}
