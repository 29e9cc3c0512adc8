import { answerJson } from './answerJson.ts';
import { sendBatch, type BatchOptions } from './batch.ts';
import { planBulk, runBulk, type BulkOptions, type BulkPlan, type BulkResult } from './bulk.ts';
import { createList, type TimerList } from './list.ts';
import { randomKey } from './randomKey.ts';
import type { ListFilter, NewTimer, TimerChanges, TimerFilter, When } from './requests.ts';
import type {
  AttemptWithResponse,
  BatchResult,
  CancelledTimer,
  CreatedTimer,
  Explanation,
  PreviousTimer,
  Timer,
  TimerPage,
} from './responses.ts';
import type { Call, CallOptions, Sender } from './sender.ts';

export interface CreateOptions extends CallOptions {
  /**
   * Under which the same request may be sent again without making a second timer: 1 to 255 visible
   * ASCII characters. Default: a random one, so that a call that is repeated makes one timer.
   */
  readonly idempotencyKey?: string;
}

export interface UpdateOptions extends CallOptions {
  /** The `version` that the change is meant for, or `'*'` for any. */
  readonly ifMatch?: number | '*';
}

/** What putting a timer under a key did. */
export interface PutResult {
  readonly timer: Timer;
  /** False when the live timer of that key was replaced in place. */
  readonly created: boolean;
  /** The one that had the key and is being delivered; null when there was none. */
  readonly previous: PreviousTimer | null;
}

/** Timers by names of one's own; a key belongs to one live timer at a time. */
export interface ByKey {
  /**
   * Creates the timer, or replaces the live one of that key. One that is being delivered stays, and
   * a new one takes the key.
   *
   * A repeated put replaces what the first one made, unless that was due and delivered in between.
   */
  put(key: string, timer: NewTimer, options?: CallOptions): Promise<PutResult>;
  /** @throws BelfryApiError `timer_not_found` when no live timer has the key. */
  get(key: string, options?: CallOptions): Promise<Timer>;
  /** As `timers.cancel`; not repeated when its answer is lost. */
  cancel(key: string, options?: CallOptions): Promise<CancelledTimer>;
}

/** The calls about timers. All may reject as `createClient` says. */
export interface TimersApi {
  /** Resolves once the timer is on disk. */
  create(timer: NewTimer, options?: CreateOptions): Promise<CreatedTimer>;
  /** A timer, live or finished. @throws BelfryApiError `timer_not_found`. */
  get(id: number, options?: CallOptions): Promise<Timer>;
  /** Its attempts with what was answered to them. */
  attempts(id: number, options?: CallOptions): Promise<readonly AttemptWithResponse[]>;
  /** What keeps it from firing, and when it is expected to. @throws BelfryApiError `timer_not_found`. */
  why(id: number, options?: CallOptions): Promise<Explanation>;
  /**
   * Resolves when no attempt starts any more; also when it was cancelled before.
   * @throws BelfryApiError `timer_not_found`; `too_late` when an attempt is under way or it is finished.
   */
  cancel(id: number, options?: CallOptions): Promise<CancelledTimer>;
  /** `for await (const timer of timers.list({ status: 'failed' }))`; `.pages()` for whole pages. */
  list(filter?: ListFilter, options?: CallOptions): TimerList;
  /**
   * Changes a timer that is not being delivered. With `ifMatch` it is not repeated when its answer is
   * lost: the first sending may have made the version another.
   * @throws BelfryApiError `timer_not_found`, `too_late`, `version_mismatch`.
   */
  update(id: number, changes: TimerChanges, options?: UpdateOptions): Promise<Timer>;
  /** Makes it due now. Not repeated when its answer is lost. @throws BelfryApiError `too_late`. */
  fire(id: number, options?: CallOptions): Promise<Timer>;
  /**
   * Makes a failed or cancelled timer pending again, due now unless `when` says otherwise. Not
   * repeated when its answer is lost.
   * @throws BelfryApiError `not_retryable`.
   */
  retry(id: number, when?: When, options?: CallOptions): Promise<Timer>;
  /**
   * Creates any number of timers, up to 10,000 a request; a result for each, in order. One that is
   * refused does not touch the others.
   */
  batch(timers: readonly NewTimer[], options?: BatchOptions): Promise<readonly BatchResult[]>;
  /** The same for what does not fit into memory: results as they come. */
  batchStream(
    timers: Iterable<NewTimer> | AsyncIterable<NewTimer>,
    options?: BatchOptions,
  ): AsyncIterable<BatchResult>;
  readonly byKey: ByKey;
  /** Counts what `cancelWhere` would be about. The filter must not be empty. */
  planCancel(filter: TimerFilter, options?: CallOptions): Promise<BulkPlan>;
  /**
   * Cancels all that the filter finds: live timers, unless its status says otherwise, that exist when
   * it is planned.
   */
  cancelWhere(filter: TimerFilter, options?: BulkOptions): Promise<BulkResult>;
  /** Counts what `retryWhere` would be about. The filter must not be empty. */
  planRetry(filter: TimerFilter, options?: CallOptions): Promise<BulkPlan>;
  /** Retries all that the filter finds: failed and cancelled ones, unless its status says otherwise. */
  retryWhere(filter: TimerFilter, options?: BulkOptions): Promise<BulkResult>;
}

export function createTimersApi(sender: Sender): TimersApi {
  async function ask<Body>(
    call: Omit<Call, 'isRepeatable'> & { isRepeatable?: boolean },
    options: CallOptions | undefined,
  ): Promise<Body> {
    return answerJson(await sender.send({ isRepeatable: true, ...call }, options));
  }

  function batchStream(
    timers: Iterable<NewTimer> | AsyncIterable<NewTimer>,
    options: BatchOptions = {},
  ): AsyncIterable<BatchResult> {
    return sendBatch(sender, timers, options);
  }

  return {
    create(timer, { idempotencyKey = randomKey(), ...options } = {}) {
      const headers = { 'idempotency-key': idempotencyKey };
      return ask({ method: 'POST', path: '/timers', headers, body: timer }, options);
    },
    get: (id, options) => ask({ method: 'GET', path: pathOf(id) }, options),
    async attempts(id, options) {
      const path = `${pathOf(id)}/attempts`;
      const { attempts } = await ask<{ readonly attempts: readonly AttemptWithResponse[] }>(
        { method: 'GET', path },
        options,
      );
      return attempts;
    },
    why: (id, options) => ask({ method: 'GET', path: `${pathOf(id)}/why` }, options),
    cancel: (id, options) => ask({ method: 'DELETE', path: pathOf(id) }, options),
    list: (filter = {}, options) =>
      createList(filter, (query) =>
        ask<TimerPage>({ method: 'GET', path: `/timers${query}` }, options),
      ),
    update(id, changes, { ifMatch, ...options } = {}) {
      const path = pathOf(id);
      if (ifMatch === undefined) return ask({ method: 'PATCH', path, body: changes }, options);
      const headers = { 'if-match': ifMatch === '*' ? '*' : `"${ifMatch}"` };
      const isRepeatable = ifMatch === '*';
      return ask({ method: 'PATCH', path, headers, body: changes, isRepeatable }, options);
    },
    fire: (id, options) =>
      ask({ method: 'POST', path: `${pathOf(id)}/fire`, isRepeatable: false }, options),
    retry: (id, when = {}, options) =>
      ask(
        { method: 'POST', path: `${pathOf(id)}/retry`, body: when, isRepeatable: false },
        options,
      ),
    async batch(timers, options) {
      const results: BatchResult[] = [];
      for await (const result of batchStream(timers, options)) results.push(result);
      return results;
    },
    batchStream,
    byKey: {
      async put(key, timer, options) {
        const answer = await sender.send(
          { method: 'PUT', path: keyPathOf(key), body: timer, isRepeatable: true },
          options,
        );
        const { previous = null, ...stored } = answerJson<
          Timer & { readonly previous?: PreviousTimer }
        >(answer);
        return { timer: stored, created: answer.status === 201, previous };
      },
      async get(key, options) {
        return ask({ method: 'GET', path: keyPathOf(key) }, options);
      },
      // Repeated, it could meet another timer under the same key.
      async cancel(key, options) {
        return ask({ method: 'DELETE', path: keyPathOf(key), isRepeatable: false }, options);
      },
    },
    planCancel: (filter, options) => planBulk(sender, 'cancel', filter, options),
    cancelWhere: (filter, options) => runBulk(sender, 'cancel', filter, options),
    planRetry: (filter, options) => planBulk(sender, 'retry', filter, options),
    retryWhere: (filter, options) => runBulk(sender, 'retry', filter, options),
  };
}

function pathOf(id: number): string {
  return `/timers/${encodeURIComponent(id)}`;
}

/** @throws TypeError for a key that no URL can name: dots alone lead to another path. */
function keyPathOf(key: string): string {
  if (key === '' || key === '.' || key === '..') {
    throw new TypeError(`"${key}" cannot be the key of a timer`);
  }
  return `/timers/by-key/${encodeURIComponent(key)}`;
}
