import type { NearTimers } from '../store/insertTimers.ts';

/** Timers that are due so soon that this process claims them as it inserts them, or tells the others. */
export function nearTimers(options: {
  scheduler: Pick<NearTimers, 'reserve'> & { wake(dueAtMs: number): void };
  wakeUps: { tell(dueAtMs: number): void };
  lookAheadMs: number;
}): NearTimers {
  const { scheduler, wakeUps, lookAheadMs } = options;
  return {
    reserve: scheduler.reserve,
    committed(nearestDueAtMs, nearestDueInMs) {
      if (nearestDueInMs > 2 * lookAheadMs) return;
      scheduler.wake(nearestDueAtMs);
      wakeUps.tell(nearestDueAtMs);
    },
  };
}
