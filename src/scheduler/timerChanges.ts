import type { Due } from '../core/due.ts';
import { BelfryError } from '../core/errors.ts';
import type { TimerId } from '../core/ids.ts';
import type { NewTimer, Timer, TimerContent } from '../core/timer.ts';
import type {
  CancelResult,
  EditResult,
  PutResult,
  RetryResult,
  TimerEdit,
} from '../core/timerChange.ts';
import type { ChangeFence, Changer, StoredOwnership } from './changer.ts';

/** The statements by which a timer changes; see store/cancelTimers, changeTimers, namedTimers. */
export interface TimerChangeStore<Created> {
  read(
    projectId: number,
    id: TimerId,
  ): Promise<(StoredOwnership & { readonly timer: Timer }) | undefined>;
  cancel(wish: { projectId: number; id: TimerId; fence: ChangeFence }): Promise<boolean>;
  change(change: {
    projectId: number;
    id: TimerId;
    fence: ChangeFence;
    version: number | null;
    key: string | null;
    due: Due | 'fire' | null;
    content: TimerContent | null;
    startsAnew: boolean;
  }): Promise<number | undefined>;
  revive(wish: { projectId: number; id: TimerId; due: Due }): Promise<boolean>;
  find(projectId: number, key: string): Promise<TimerId | undefined>;
  createNamed(timer: NewTimer, from: TimerId | null): Promise<Created | undefined>;
}

const roundsMax = 20;

/** All that callers may do to a timer that exists. What is answered as done is final (P4). */
export function createTimerChanges<Created>(options: {
  store: TimerChangeStore<Created>;
  changer: Pick<Changer, 'change'>;
}) {
  const { store, changer } = options;

  async function cancel(projectId: number, id: TimerId): Promise<CancelResult> {
    const result = await changer.change(projectId, id, async (fence) =>
      (await store.cancel({ projectId, id, fence })) ? true : undefined,
    );
    if (result.kind === 'done') return { kind: 'cancelled', id };
    // Somebody was faster, or the answer to an earlier try was lost.
    if (result.kind === 'too_late' && result.status === 'cancelled') {
      return { kind: 'cancelled', id };
    }
    return result;
  }

  return {
    cancel,

    /**
     * `edit` is asked what to make of the timer as it stands; it may throw.
     * @throws BelfryError `version_mismatch` when the timer is not of version `ifVersion`.
     */
    async update(
      projectId: number,
      id: TimerId,
      edit: (timer: Timer) => TimerEdit,
      ifVersion: number | null,
    ): Promise<EditResult> {
      const known = await store.read(projectId, id);
      if (known === undefined) return { kind: 'not_found' };
      if (known.timer.nextAtMs === null) return { kind: 'too_late', status: known.timer.status };
      let stored: { readonly timer: Timer } | undefined = known;
      const apply = async (fence: ChangeFence) => {
        const timer = (stored ?? (await store.read(projectId, id)))?.timer;
        stored = undefined;
        if (timer === undefined) return undefined;
        const { version } = timer;
        if (ifVersion !== null && version !== ifVersion) {
          throw new BelfryError(
            'version_mismatch',
            `timer ${id} is of version ${version}, not ${ifVersion}`,
          );
        }
        const { due, content } = edit(timer);
        return store.change({
          projectId,
          id,
          fence,
          version,
          due,
          content,
          key: null,
          startsAnew: false,
        });
      };
      const result = await changer.change(projectId, id, apply, known);
      return result.kind === 'done' ? { kind: 'changed' } : result;
    },

    /** Due now. */
    async fire(projectId: number, id: TimerId): Promise<EditResult> {
      const any = { version: null, key: null, content: null, startsAnew: false };
      const result = await changer.change(projectId, id, (fence) =>
        store.change({ projectId, id, fence, due: 'fire', ...any }),
      );
      return result.kind === 'done' ? { kind: 'changed' } : result;
    },

    /** Live again, if it was failed or cancelled. */
    async retry(projectId: number, id: TimerId, due: Due): Promise<RetryResult> {
      for (let round = 1; ; round++) {
        if (await store.revive({ projectId, id, due })) return { kind: 'retried' };
        const stored = await store.read(projectId, id);
        if (stored === undefined) return { kind: 'not_found' };
        const { status } = stored.timer;
        // Finished between the two.
        const isRetryable = status === 'failed' || status === 'cancelled';
        if (!isRetryable || round === roundsMax) return { kind: 'not_retryable', status };
      }
    },

    /**
     * Makes `timer` the one live timer of that name: in place of the one that has it, or beside it
     * if that is being delivered.
     * @throws BelfryError `owner_unresponsive`, also when others take the name again and again.
     */
    async putByKey(timer: NewTimer, key: string): Promise<PutResult<Created>> {
      const { projectId, due } = timer;
      const named = { ...timer, key };
      for (let round = 1; round <= roundsMax; round++) {
        const id = await store.find(projectId, key);
        if (id === undefined) {
          const created = await store.createNamed(named, null);
          if (created !== undefined) return { kind: 'created', created, previous: null };
          continue;
        }
        const change = { projectId, id, version: null, key, due, content: timer, startsAnew: true };
        const result = await changer.change(projectId, id, async (fence) => {
          const version = await store.change({ ...change, fence });
          // Refused although nobody owns it: perhaps it is not the one of that name any more.
          const isAnother = version === undefined && fence === null;
          if (isAnother && (await store.find(projectId, key)) !== id) return 'lost_name';
          return version;
        });
        if (result.kind === 'done' && result.result !== 'lost_name')
          return { kind: 'replaced', id };
        if (result.kind === 'too_late' && result.status === 'delivering') {
          const created = await store.createNamed(named, id);
          if (created !== undefined) {
            return { kind: 'created', created, previous: { id, status: result.status } };
          }
        }
      }
      throw new BelfryError(
        'owner_unresponsive',
        `the timer ${key} is being changed by others; nothing was changed`,
      );
    },

    /** Cancels the live timer of that name. */
    async cancelByKey(projectId: number, key: string): Promise<CancelResult> {
      const id = await store.find(projectId, key);
      return id === undefined ? { kind: 'not_found' } : cancel(projectId, id);
    },
  };
}
