import type { AttemptRecord } from '../core/attempt.ts';
import { healthAfter, type BreakerReason } from '../core/breaker.ts';
import { loggedUrl, originOf } from '../core/target.ts';
import type { ClaimedTimer } from '../core/timer.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Destination, DestinationLanes } from './destinationLanes.ts';

/** What breakers need of the store. */
export interface BreakerStore {
  open(
    destination: Destination,
    options: { reason: BreakerReason; pauseMs: number },
  ): Promise<number>;
  probeFailed(
    destination: Destination,
    pause: {
      reason: BreakerReason;
      leastMs: number;
      baseMs: number;
      mostMs: number;
      disableAfterMs: number;
    },
  ): Promise<number | undefined>;
  close(destination: Destination): Promise<void>;
}

/**
 * A circuit breaker for each destination, shared by all processes (M. Nygard, Release It!, 5.2): it opens
 * after so many failures in a row, or at once, for a moment, when the receiver asks for less (429, 503).
 * As long as it is open what falls due waits in the lane of the destination, and one timer at a time goes
 * out of it as a probe (pulls.ts), after pauses that double. The first success closes it; what waits
 * follows as fast as the destination takes it. One that has failed for `disableAfterMs` is not probed any
 * more, until somebody resets it.
 */
export interface Breaker {
  /** An attempt has come to this. */
  observe(
    timer: Pick<ClaimedTimer, 'projectId' | 'request'>,
    attempt: AttemptRecord,
    isProbe: boolean,
  ): void;
}

/** Before the first probe, where the receiver has not asked for more; each that fails doubles it. */
const basePauseMs = { failing: 1_000, slowed: 100 } as const;
const pauseMaxMs = 60_000;
const countedMax = 10_000;

export function createBreaker(options: {
  store: BreakerStore;
  lanes: Pick<DestinationLanes, 'laneAt' | 'isAnyOf' | 'closed' | 'reopened'>;
  /** In a row; 0: it never opens. */
  breakerFailures: number;
  /** Infinity: never. */
  disableAfterMs: number;
  log: Logger;
  metrics: Metrics;
}): Breaker {
  const { store, lanes, breakerFailures, disableAfterMs, log, metrics } = options;
  /** Failures in a row, by project and origin: of those alone that have failed last. */
  const failures = new Map<number, Map<string, number>>();
  let counted = 0;
  /** Something is being written of them: the others that say the same at this moment add nothing. */
  const busy = new Set<string>();

  function forget({ projectId, origin }: Destination): void {
    const ofProject = failures.get(projectId);
    if (ofProject?.delete(origin) !== true) return;
    counted -= 1;
    if (ofProject.size === 0) failures.delete(projectId);
  }

  function count({ projectId, origin }: Destination): number {
    if (counted >= countedMax) {
      failures.clear();
      counted = 0;
    }
    let ofProject = failures.get(projectId);
    if (ofProject === undefined) failures.set(projectId, (ofProject = new Map<string, number>()));
    const before = ofProject.get(origin);
    if (before === undefined) counted += 1;
    ofProject.set(origin, (before ?? 0) + 1);
    return (before ?? 0) + 1;
  }

  function write(destination: Destination, change: () => Promise<void>): void {
    const place = `${destination.projectId} ${destination.origin}`;
    if (busy.has(place)) return;
    busy.add(place);
    change()
      // It is as it was: the next attempt or probe tells the same.
      .catch((err: unknown) => log.warn({ err }, 'could not write of a breaker'))
      .finally(() => busy.delete(place));
  }

  function open(destination: Destination, reason: 'failing' | 'slowed', askedMs: number): void {
    write(destination, async () => {
      const pauseMs = Math.max(basePauseMs[reason], askedMs);
      const isOpen = isClosedAt(destination);
      lanes.closed(destination, await store.open(destination, { reason, pauseMs }));
      forget(destination);
      if (!isOpen) tell(destination, reason);
    });
  }

  function probeFailed(
    destination: Destination,
    reason: 'failing' | 'slowed',
    leastMs: number,
  ): void {
    write(destination, async () => {
      const pause = {
        reason,
        leastMs,
        baseMs: basePauseMs[reason],
        mostMs: pauseMaxMs,
        disableAfterMs,
      };
      const probeAtMs = await store.probeFailed(destination, pause);
      if (probeAtMs === undefined) return;
      lanes.closed(destination, probeAtMs);
      if (probeAtMs === Infinity) tell(destination, 'disabled');
    });
  }

  function isClosedAt(destination: Destination): boolean {
    return lanes.laneAt(destination)?.closedUntilMs === Infinity;
  }

  function tell({ projectId, origin }: Destination, reason: BreakerReason): void {
    metrics.breakers.inc({ reason });
    const fields = { projectId, destination: loggedUrl(origin), reason };
    if (reason === 'slowed') log.debug(fields, 'a destination asks for less');
    else if (reason === 'failing') log.warn(fields, 'the breaker of a destination has opened');
    else
      log.error(fields, 'a destination has failed for too long, and is disabled until it is reset');
  }

  return {
    observe({ projectId, request }, attempt, isProbe) {
      if (breakerFailures === 0) return;
      const health = healthAfter(attempt);
      if (health.kind === 'unknown') return;
      if (health.kind === 'alive' && !failures.has(projectId) && !lanes.isAnyOf(projectId)) return;
      const destination = { projectId, origin: originOf(request.url) };
      const isClosed = isClosedAt(destination);
      if (health.kind === 'alive') {
        forget(destination);
        if (!isClosed && !isProbe) return;
        write(destination, async () => {
          await store.close(destination);
          lanes.reopened(destination);
        });
        return;
      }
      const askedMs = health.kind === 'slowed' ? health.askedMs : 0;
      if (isProbe) return probeFailed(destination, health.kind, askedMs);
      if (health.kind === 'slowed') {
        // Of many that come back together one is enough, unless it asks for more.
        if (!isClosed || askedMs > 0) open(destination, 'slowed', askedMs);
      } else if (!isClosed && count(destination) >= breakerFailures)
        open(destination, 'failing', 0);
    },
  };
}

/** Where none ever opens. */
export const noBreaker: Breaker = { observe: () => undefined };
