import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BelfryError } from '../core/errors.ts';
import type { TimerId } from '../core/ids.ts';
import type { TimerStatus } from '../core/timer.ts';
import type { Scheduler, TakenTimer } from './scheduler.ts';

/** What came of a wish to cancel. `cancelled` is final: no attempt starts any more. */
export type CancelResult =
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'too_late'; readonly status: TimerStatus }
  | { readonly kind: 'not_found' };

interface Cancellation {
  readonly projectId: number;
  readonly id: TimerId;
  readonly fence: { readonly owner: number; readonly claim: number } | null;
  readonly giveBackId: number | null;
}

/** What cancelling needs of the store. */
export interface CancelStore {
  cancel(cancellation: Cancellation): Promise<boolean>;
  read(projectId: number, id: TimerId): Promise<StoredOwnership | undefined>;
  ask(options: { id: number; owner: number; timerId: TimerId }): Promise<void>;
  pending(owner: number): Promise<readonly { id: number; timerId: TimerId }[]>;
  close(giveBackId: number): Promise<boolean>;
  announce(giveBackIds: readonly number[]): Promise<void>;
  declareDead(): Promise<unknown>;
}

interface StoredOwnership {
  readonly timer: {
    readonly projectId: number;
    readonly status: TimerStatus;
    readonly nextAtMs: number | null;
  };
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
 * Cancels timers wherever they are: in the database, in this process's heap, or in another's.
 *
 * - Nobody owns it: one conditional statement.
 * - Held here, not started: out of the heap first, then committed under its fence; back into the
 *   heap if that failed.
 * - Held by another process: asked for through a row that exactly one side deletes (see
 *   store/giveBacks), so the answer is final even when the other side is slow.
 * - Held by a dead process: once its lapse is two seconds past, when nothing of it can start.
 */
export interface Canceller {
  /** @throws BelfryError `owner_unresponsive`, `store_unavailable`, `commit_unknown`, `overloaded`. */
  cancel(projectId: number, id: TimerId): Promise<CancelResult>;
  /** Another process may have asked for timers of ours. */
  answerRequests(): Promise<void>;
  /** A request of ours was answered. */
  answered(giveBackId: number): void;
}

const roundsMax = 8;
const takeOverGuardMs = 2_000;
/** How long to wait for the other process: half the time left, within these bounds. */
const answerMinMs = 50;
const answerMaxMs = 1_000;
/** A claim of our own may be on its way back from the database. */
const claimInFlightMs = 10;

export function createCanceller(options: {
  store: CancelStore;
  own: OwnScheduler | undefined;
}): Canceller {
  const { store, own } = options;
  const waiting = new Map<number, () => void>();
  const beingCancelled = new Map<TimerId, Promise<void>>();
  let answering: Promise<void> | undefined;
  let asked = false;

  /** Undefined when it is not held here: look in the database. */
  async function cancelHeld(
    projectId: number | undefined,
    id: TimerId,
    giveBackId: number | null,
  ): Promise<CancelResult | undefined> {
    // Somebody else cancels it just now: "too late" would be wrong if that succeeds.
    while (beingCancelled.has(id)) await beingCancelled.get(id);
    const taken = own?.scheduler.takeBack(id) ?? 'not_held';
    if (taken === 'not_held') return undefined;
    if (taken === 'started') return { kind: 'too_late', status: 'delivering' };
    const attempt = cancelTaken(taken, projectId, giveBackId).finally(() => {
      beingCancelled.delete(id);
    });
    beingCancelled.set(
      id,
      attempt.then(
        () => undefined,
        () => undefined,
      ),
    );
    return attempt;
  }

  async function cancelTaken(
    taken: TakenTimer,
    projectId: number | undefined,
    giveBackId: number | null,
  ): Promise<CancelResult | undefined> {
    const { timer } = taken;
    if (projectId !== undefined && timer.projectId !== projectId) {
      taken.putBack();
      return { kind: 'not_found' };
    }
    try {
      const { id, owner, claim } = timer;
      const cancellation = { projectId: timer.projectId, id, fence: { owner, claim }, giveBackId };
      if (await store.cancel(cancellation)) {
        taken.done();
        return { kind: 'cancelled' };
      }
    } catch (err) {
      if (err instanceof BelfryError && err.code === 'commit_unknown') taken.unknown();
      else taken.putBack();
      throw err;
    }
    // Refused by the fence (it was taken over) or, for a request, by its withdrawal.
    if (giveBackId === null) taken.done();
    else taken.putBack();
    return undefined;
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
        const result = await cancelHeld(undefined, timerId, id);
        if (result?.kind !== 'cancelled') await store.close(id);
      }),
    );
    await store.announce(requests.map(({ id }) => id));
    const failed = answers.find((answer) => answer.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  return {
    async cancel(projectId, id) {
      for (let round = 1; round <= roundsMax; round++) {
        const held = await cancelHeld(projectId, id, null);
        if (held?.kind === 'too_late') {
          return (await store.read(projectId, id)) === undefined ? { kind: 'not_found' } : held;
        }
        if (held !== undefined) return held;
        if (await store.cancel({ projectId, id, fence: null, giveBackId: null })) {
          return { kind: 'cancelled' };
        }
        const stored = await store.read(projectId, id);
        if (stored === undefined) return { kind: 'not_found' };
        const { timer, owner, ownerLapsedMs, dueInMs } = stored;
        if (timer.status === 'cancelled') return { kind: 'cancelled' };
        if (timer.nextAtMs === null) return { kind: 'too_late', status: timer.status };
        if (owner === null) continue;
        if (owner === own?.owner()) {
          await sleep(claimInFlightMs * round);
        } else if (ownerLapsedMs === null || ownerLapsedMs > 0) {
          await store.declareDead();
          await sleep(Math.max(0, takeOverGuardMs - (ownerLapsedMs ?? 0)) + 1);
        } else if (!(await askOwner(owner, id, dueInMs)) && dueInMs > answerMaxMs) {
          break;
        } else {
          const after = await store.read(projectId, id);
          if (after?.timer.status === 'cancelled') return { kind: 'cancelled' };
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
