import type { AttemptErrorCode, NotStartedReason, Outcome } from '../core/attempt.ts';
import type { TimerId } from '../core/ids.ts';
import type { SentRequest } from '../core/timer.ts';
import { deliveryTarget, type DeliveryTarget } from '../core/target.ts';
import { webhookSignature, type SigningKey } from '../core/webhookSignature.ts';
import type { Job, PreparedRequest, Transport } from '../transport/transport.ts';
import type { Destination, Destinations, Place } from './destinations.ts';
import type { HttpClient, HttpResult } from './httpClient.ts';
import { timestampSeconds, webhookHeaders } from './webhookHeaders.ts';

/**
 * Makes attempts. A job waits for a slot of its destination, is checked once more (recalled,
 * expired, lease), counts as started from then on, and ends as an outcome, never as an error.
 * Being in the scheduler's process, it is the default transport itself: function calls.
 */
export interface Deliverer extends Transport {
  /** Attempts under way. */
  active(): number;
  /** How many more jobs a destination can take before it has a crowd waiting. */
  places(destination: Destination): number;
  /** Jobs beyond a crowd at a slow destination, the last ones, end as not started. Several times a second. */
  partCrowds(): void;
}

interface QueuedJob {
  readonly job: Job;
  readonly finish: (outcome: Outcome) => void;
  readonly origin: string;
  /** While it waits for a slot. */
  place?: Place;
}

interface PreparedJob extends QueuedJob {
  readonly request: SentRequest;
  readonly signingKeys: readonly SigningKey[];
  readonly path: string;
}

export function createDeliverer(options: {
  http: HttpClient;
  destinations: Destinations;
  /** The database's clock, at most; see scheduler/databaseClock. */
  nowMs: () => number;
  monotonicMs: () => number;
  /** First part of webhook-id: names the installation. */
  installationId: string;
  timeoutDefaultMs: number;
}): Deliverer {
  const { http, destinations, nowMs, monotonicMs, installationId } = options;
  const queued = new Map<TimerId, QueuedJob>();

  function start(queuedJob: QueuedJob, path: string, place: Place): void {
    const { timerId } = queuedJob.job;
    // Recalled while it waited.
    if (queued.get(timerId) !== queuedJob) return destinations.release(place);
    queued.delete(timerId);
    try {
      startWith(queuedJob, path, place);
    } catch (err) {
      failUnprocessable(queuedJob, place, err);
    }
  }

  function startWith(queuedJob: QueuedJob, path: string, place: Place): void {
    const { job, finish, origin } = queuedJob;
    const prepared = job.prepare();
    if (prepared instanceof Promise) return prepareFirst(queuedJob, place, prepared);
    const { request, signingKeys } = prepared;
    // Spelt out: to spread the two into one was the costliest line of this file in a profile of a burst.
    send({ job, finish, origin, request, signingKeys, path }, place);
  }

  /**
   * What is stored of a timer may be such that it cannot be sent. That is its own outcome: thrown on, it would
   * reach whoever gave the slot back.
   */
  function failUnprocessable({ job, finish }: QueuedJob, place: Place, err: unknown): void {
    finish(unsentAttempt(job, toMicroseconds(nowMs()), 'unprocessable', String(err)));
    destinations.release(place);
  }

  function prepareFirst(
    queuedJob: QueuedJob,
    place: Place,
    prepared: Exclude<ReturnType<Job['prepare']>, PreparedRequest>,
  ): void {
    prepared.then(
      (given) => {
        try {
          goOn(queuedJob, place, given);
        } catch (err) {
          failUnprocessable(queuedJob, place, err);
        }
      },
      () => {
        queuedJob.finish({ kind: 'not_started', reason: 'not_prepared' });
        destinations.release(place);
      },
    );
  }

  function goOn(
    queuedJob: QueuedJob,
    place: Place,
    given: PreparedRequest | AttemptErrorCode | undefined,
  ): void {
    const ready = given && preparedFrom(queuedJob, given, queuedJob.origin);
    if (ready !== undefined) return send(ready, place);
    if (given === undefined) queuedJob.finish({ kind: 'not_started', reason: 'taken_over' });
    else failUnsent(queuedJob, typeof given === 'string' ? given : 'request_invalid');
    destinations.release(place);
  }

  function takeOut(queuedJob: QueuedJob, reason: NotStartedReason): void {
    const { job, finish, place } = queuedJob;
    queued.delete(job.timerId);
    if (place !== undefined) destinations.leave(place);
    finish({ kind: 'not_started', reason });
  }

  /** Whether the attempt counts as started; otherwise it is finished. */
  function hasStarted({ job, finish }: QueuedJob, startedAtMs: number): boolean {
    if (job.expiresAtMs !== null && startedAtMs >= job.expiresAtMs) {
      finish({ kind: 'not_started', reason: 'expired' });
      return false;
    }
    if (!job.mayStart()) {
      finish({ kind: 'not_started', reason: 'lease_ended' });
      return false;
    }
    job.onStart();
    return true;
  }

  function failUnsent(queuedJob: QueuedJob, errorCode: AttemptErrorCode): void {
    const startedAtMs = toMicroseconds(nowMs());
    if (!hasStarted(queuedJob, startedAtMs)) return;
    queuedJob.finish(unsentAttempt(queuedJob.job, startedAtMs, errorCode));
  }

  function send(preparedJob: PreparedJob, won: Place): void {
    const { job, finish, request, signingKeys, origin, path } = preparedJob;
    let held = won;
    const free = () => destinations.release(held);
    const startedAtMs = toMicroseconds(nowMs());
    if (!hasStarted(preparedJob, startedAtMs)) return free();
    const sentAtMs = monotonicMs();
    const onResult = (result: HttpResult) => {
      if (result.kind === 'not_written') {
        finish({ kind: 'not_started', reason: 'lease_ended' });
        return;
      }
      const attempt = {
        startedAtMs,
        latenessMs: toMicroseconds(startedAtMs - job.dueAtMs),
        durationMs: toMicroseconds(monotonicMs() - sentAtMs),
        status: result.kind === 'response' ? result.status : null,
        errorCode: result.errorCode,
      };
      if (result.kind === 'response' && result.response !== undefined) {
        finish({ kind: 'attempted', attempt: { ...attempt, response: result.response } });
      } else if (result.kind === 'error' && result.detail !== undefined) {
        finish({ kind: 'attempted', attempt: { ...attempt, detail: result.detail } });
      } else finish({ kind: 'attempted', attempt });
    };
    const { method, body, headers, timeoutMs, tls } = request;
    const webhookId = `${installationId}_${job.timerId}`;
    const sign = signerOf(signingKeys, webhookId, startedAtMs);
    http.send(
      {
        origin,
        path,
        method,
        headers: webhookHeaders({
          webhookId,
          timestampMs: startedAtMs,
          attempt: job.attempt,
          signature: sign?.(body),
          own: headers,
        }),
        body,
        tls,
        sign,
        timeoutMs: timeoutMs ?? options.timeoutDefaultMs,
        mayWrite: job.mayStart,
        changeOrigin(next, startThere) {
          free();
          destinations.acquire({ projectId: job.projectId, origin: next }, (place) => {
            held = place;
            startThere();
          });
        },
      },
      onResult,
      free,
    );
  }

  return {
    deliver(job) {
      return new Promise((finish) => {
        const target = targetOf(job, job.request);
        if (target === undefined) {
          finish(unsentAttempt(job, nowMs(), 'request_invalid'));
          return;
        }
        const { origin, path } = target;
        const queuedJob: QueuedJob = { job, finish, origin };
        queued.set(job.timerId, queuedJob);
        const destination = { projectId: job.projectId, origin };
        queuedJob.place = destinations.acquire(destination, (place) =>
          start(queuedJob, path, place),
        );
      });
    },
    recall(timerId) {
      const queuedJob = queued.get(timerId);
      if (queuedJob === undefined) return false;
      takeOut(queuedJob, 'recalled');
      return true;
    },
    places: destinations.places,
    partCrowds() {
      for (const { projectId, origin } of destinations.slow(monotonicMs())) {
        const there = [...queued.values()].filter(
          (each) => each.origin === origin && each.job.projectId === projectId,
        );
        for (const queuedJob of there.slice(destinations.crowd)) takeOut(queuedJob, 'crowded');
      }
    },
    active: () => destinations.active(),
  };
}

/** Undefined for a stored URL that is none: creation refuses those, but it is not the only writer. */
function targetOf({ timerId }: Job, request: SentRequest): DeliveryTarget | undefined {
  try {
    return deliveryTarget(request.url, timerId, request.appendId);
  } catch {
    return undefined;
  }
}

/** Undefined when the request leads elsewhere than the slot that was won for it, or is none. */
function preparedFrom(
  queuedJob: QueuedJob,
  given: PreparedRequest | AttemptErrorCode,
  origin: string,
): PreparedJob | undefined {
  const target = typeof given === 'string' ? undefined : targetOf(queuedJob.job, given.request);
  if (typeof given === 'string' || target?.origin !== origin) return undefined;
  return { ...queuedJob, ...given, ...target };
}

/** Undefined where there is no key. */
function signerOf(
  keys: readonly SigningKey[],
  id: string,
  timestampMs: number,
): ((body: Buffer | null) => string) | undefined {
  if (keys.length === 0) return undefined;
  const signed = { id, timestampSeconds: timestampSeconds(timestampMs) };
  return (body) => webhookSignature(keys, { ...signed, body });
}

function unsentAttempt(
  job: Job,
  startedAtMs: number,
  errorCode: AttemptErrorCode,
  detail?: string,
): Outcome {
  const latenessMs = startedAtMs - job.dueAtMs;
  const attempt = { startedAtMs, latenessMs, durationMs: 0, status: null };
  const told = detail === undefined ? {} : { detail };
  return { kind: 'attempted', attempt: { ...attempt, errorCode, ...told } };
}

/** Milliseconds, cut to whole microseconds: clocks tell no more, and long fractions cost bytes. */
function toMicroseconds(ms: number): number {
  return Math.floor(ms * 1_000) / 1_000;
}
