import { explain, type Explanation, type TimerStanding } from '../core/blockers.ts';
import type { TimerId } from '../core/ids.ts';
import type { TimerStatus } from '../core/timer.ts';

interface StoredStanding {
  readonly standing: TimerStanding;
  readonly owner: number | null;
  readonly ownerLapsedMs: number | null;
  readonly dueInMs: number;
}

interface StoredStatus extends Omit<StoredStanding, 'standing'> {
  readonly timer: { readonly id: TimerId; readonly status: TimerStatus };
}

/** Why timers have not fired. Whether an attempt is under way is judged as everywhere. */
export function explanations(options: {
  standing(projectId: number, id: TimerId): Promise<StoredStanding | undefined>;
  statusOf(stored: StoredStatus): TimerStatus;
}): (projectId: number, id: TimerId) => Promise<Explanation | undefined> {
  return async (projectId, id) => {
    const stored = await options.standing(projectId, id);
    if (stored === undefined) return undefined;
    const { standing, ...owned } = stored;
    const status = options.statusOf({ ...owned, timer: { id, status: standing.status } });
    return explain({ ...standing, status });
  };
}
