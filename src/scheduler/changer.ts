import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BelfryError } from '../core/errors.ts';
import type { TimerId } from '../core/ids.ts';
import { takeOverGuardMs, type TimerStatus } from '../core/timer.ts';
import type { Scheduler, TakenTimer } from './scheduler.ts';

/** What came of a wish to change a timer. `done` is final: no attempt of the old one starts any more. */
export type ChangeResult<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'too_late'; readonly status: TimerStatus }
  | { readonly kind: 'not_found' };

/** Proves that the timer is ours to change; null for one that nobody owns. */
export type ChangeFence = { readonly owner: number; readonly claim: number } | null;

/** What changing needs of the store. */
export interface ChangeStore {
  read(projectId: number, id: TimerId): Promise<StoredOwnership | undefined>;
  ask(options: { id: number; owner: number; timerId: TimerId }): Promise<void>;
  pending(owner: number): Promise<readonly { id: number; timerId: TimerId }[]>;
  give(giveBackId: number, timer: { id: TimerId; owner: number; claim: number }): Promise<boolean>;
  close(giveBackId: number): Promise<boolean>;
  announce(giveBackIds: readonly number[]): Promise<void>;
  declareDead(): Promise<unknown>;
}

/** Who holds a timer, as was read of it. */
export interface StoredOwnership {
  readonly timer: { readonly status: TimerStatus; readonly nextAtMs: number | null };
  readonly owner: number | null;
  readonly ownerLapsedMs: number | null;
  /** Milliseconds until the next attempt is due; negative once past. */
  readonly dueInMs: number;
}

/** This process as an owner of timers; absent where it runs no scheduler. */
export interface OwnScheduler {
  readonly scheduler: Pick<Scheduler, 'takeBack'>;
  readonly owner: () => number | undefined;
}

/**
 * Changes live timers wherever they are: in the database, in this process's heap, or in another's.
 *
 * - Nobody owns it: one conditional statement.
 * - Held here, not started: out of the heap first, then committed under its fence; back into the
 *   heap if that failed.
 * - Held by another process: that is asked to give it back, through a row that exactly one side
 *   deletes (see store/giveBacks); then nobody owns it.
 * - Held by a dead process: once its lapse is two seconds past, when nothing of it can start.
 */
export interface Changer {
  /**
   * `apply` commits the change under the fence; undefined when it was refused because the timer is
   * not as the fence says (any more). It may be called several times, and what it throws ends it. `known`: what
   * has just been read of the timer, if it has; a process that holds it is asked at once, then.
   * @throws BelfryError `owner_unresponsive`, `store_unavailable`, `commit_unknown`, `overloaded`.
   */
  change<Result>(
    projectId: number,
    id: TimerId,
    apply: (fence: ChangeFence) => Promise<Result | undefined>,
    known?: StoredOwnership,
  ): Promise<ChangeResult<Result>>;
  /** Another process may have asked for timers of ours. */
  answerRequests(): Promise<void>;
  /** A request of ours was answered. */
  answered(giveBackId: number): void;
}

const roundsMax = 8;
/** How long to wait for the other process: half the time left, within these bounds. */
const answerMinMs = 50;
const answerMaxMs = 1_000;
/** A claim of our own may be on its way back from the database. */
const claimInFlightMs = 10;

export function createChanger(options: {
  store: ChangeStore;
  own: OwnScheduler | undefined;
}): Changer {
  const { store, own } = options;
  const waiting = new Map<number, () => void>();
  const beingChanged = new Map<TimerId, Promise<void>>();
  let answering: Promise<void> | undefined;
  let asked = false;

  /** Undefined when it is not held here: look in the database. */
  async function withHeld<Result>(
    id: TimerId,
    run: (taken: TakenTimer) => Promise<Result | undefined>,
  ): Promise<Result | 'started' | undefined> {
    // Somebody else changes it just now: "too late" would be wrong if that succeeds.
    while (beingChanged.has(id)) await beingChanged.get(id);
    const taken = own?.scheduler.takeBack(id) ?? 'not_held';
    if (taken === 'not_held') return undefined;
    if (taken === 'started') return 'started';
    const attempt = run(taken).finally(() => beingChanged.delete(id));
    beingChanged.set(
      id,
      attempt.then(
        () => undefined,
        () => undefined,
      ),
    );
    return attempt;
  }

  /** Whatever comes of `commit`, the timer is where it belongs: gone, back in the heap, or let go. */
  async function settle<Result>(
    taken: TakenTimer,
    commit: () => Promise<Result | undefined>,
    onRefusal: 'let_go' | 'put_back',
  ): Promise<Result | undefined> {
    try {
      const result = await commit();
      if (result !== undefined) taken.done();
      else if (onRefusal === 'let_go') taken.unknown();
      else taken.putBack();
      return result;
    } catch (err) {
      if (err instanceof BelfryError && err.code === 'commit_unknown') taken.unknown();
      else taken.putBack();
      throw err;
    }
  }

  async function giveBack(taken: TakenTimer, giveBackId: number): Promise<true | undefined> {
    const give = async () => ((await store.give(giveBackId, taken.timer)) ? true : undefined);
    // Refused because the request was withdrawn: it is ours as before.
    return settle(taken, give, 'put_back');
  }

  async function askOwner(owner: number, id: TimerId, dueInMs: number): Promise<boolean> {
    const giveBackId = randomInt(1, 2 ** 48 - 1);
    const answer = new Promise<void>((resolve) => waiting.set(giveBackId, resolve));
    const waitMs = Math.min(Math.max(dueInMs / 2, answerMinMs), answerMaxMs);
    const patience = new AbortController();
    try {
      await store.ask({ id: giveBackId, owner, timerId: id });
      await Promise.race([
        answer,
        sleep(waitMs, undefined, { signal: patience.signal }).catch(() => undefined),
      ]);
      // True means that the owner had not taken it up, and now cannot any more.
      return !(await store.close(giveBackId));
    } finally {
      patience.abort();
      waiting.delete(giveBackId);
    }
  }

  /**
   * One round at a time: two that read the same request would answer it twice, and the second, which
   * finds the timer taken, would refuse what the first is about to grant.
   */
  async function answerAll(ownerAtFirst: number): Promise<void> {
    let owner: number | undefined = ownerAtFirst;
    try {
      while (asked && owner !== undefined) {
        asked = false;
        const requests = await store.pending(owner);
        if (requests.length > 0) await answerEach(requests);
        owner = own?.owner();
      }
    } finally {
      answering = undefined;
    }
  }

  async function answerEach(requests: readonly { id: number; timerId: TimerId }[]): Promise<void> {
    const answers = await Promise.allSettled(
      requests.map(async ({ id, timerId }) => {
        const given = await withHeld(timerId, (taken) => giveBack(taken, id));
        if (given !== true) await store.close(id);
      }),
    );
    await store.announce(requests.map(({ id }) => id));
    const failed = answers.find((answer) => answer.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  function isOurs({ owner }: StoredOwnership): boolean {
    return owner !== null && owner === own?.owner();
  }

  return {
    async change<Result>(
      projectId: number,
      id: TimerId,
      apply: (fence: ChangeFence) => Promise<Result | undefined>,
      known?: StoredOwnership,
    ): Promise<ChangeResult<Result>> {
      let read = known;
      for (let round = 1; round <= roundsMax; round++) {
        const held = await withHeld(
          id,
          async (taken): Promise<ChangeResult<Result> | undefined> => {
            const { timer } = taken;
            if (timer.projectId !== projectId) {
              taken.putBack();
              return { kind: 'not_found' };
            }
            const { owner, claim } = timer;
            // Refused: it was taken over, or is not what the caller believes it to be.
            const result = await settle(taken, () => apply({ owner, claim }), 'let_go');
            return result === undefined ? undefined : { kind: 'done', result };
          },
        );
        if (held === 'started') {
          read = await store.read(projectId, id);
          if (read === undefined) return { kind: 'not_found' };
          // What was started here is what the database knows of, or it is another's by now (this
          // process was paused beyond its lease) or waits for its retry: then it can be changed.
          if (isOurs(read) && read.timer.nextAtMs !== null) {
            return { kind: 'too_late', status: 'delivering' };
          }
        } else if (held !== undefined) return held;
        // Of ours it may be over by now, or a claim is on its way.
        let stored = read === undefined || read.owner === null || isOurs(read) ? undefined : read;
        read = undefined;
        if (stored === undefined) {
          const result = await apply(null);
          if (result !== undefined) return { kind: 'done', result };
          stored = await store.read(projectId, id);
        }
        if (stored === undefined) return { kind: 'not_found' };
        const { timer, owner, ownerLapsedMs, dueInMs } = stored;
        if (timer.nextAtMs === null) return { kind: 'too_late', status: timer.status };
        if (owner === null) continue;
        if (isOurs(stored)) {
          await sleep(claimInFlightMs * round);
        } else if (ownerLapsedMs === null || ownerLapsedMs > 0) {
          await store.declareDead();
          await sleep(Math.max(0, takeOverGuardMs - (ownerLapsedMs ?? 0)) + 1);
        } else if (!(await askOwner(owner, id, dueInMs)) && dueInMs > answerMaxMs) {
          break;
        } else {
          const given = await apply(null);
          if (given !== undefined) return { kind: 'done', result: given };
          const after = await store.read(projectId, id);
          if (after?.owner === owner && after.ownerLapsedMs !== null && after.ownerLapsedMs <= 0) {
            if (after.dueInMs <= 0) return { kind: 'too_late', status: 'delivering' };
            // Slow, or its claim is still on the way to it: while there is time, ask again.
            await sleep(claimInFlightMs * round);
          }
        }
      }
      throw new BelfryError(
        'owner_unresponsive',
        `timer ${id} is held by a process that did not give it back; nothing was changed`,
      );
    },
    answerRequests() {
      const owner = own?.owner();
      if (owner === undefined) return Promise.resolve();
      asked = true;
      answering ??= answerAll(owner);
      return answering;
    },
    answered: (giveBackId) => waiting.get(giveBackId)?.(),
  };
}
