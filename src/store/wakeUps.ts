import type { Database } from './database.ts';

const notify = {
  name: 'notify_wake',
  text: `SELECT pg_notify('belfry', 'wake ' || $1::bigint::text)`,
};

const notifyLanes = {
  name: 'notify_lanes',
  text: `SELECT pg_notify('belfry', 'lanes ' || $1::bigint::text)`,
};

const gatherMs = 5;

/**
 * Tells the schedulers of other processes that a near timer waits unclaimed. One notification for
 * all that gather within 5 ms, and never inside the create transaction: NOTIFY takes a lock of the
 * whole instance at commit. A lost one costs nothing but time: the sweep finds the timer.
 */
export function createWakeUps(database: Database): {
  tell(dueAtMs: number): void;
  /** Lanes of this project have another state. */
  tellLanes(projectId: number): void;
} {
  let nearestMs = Infinity;
  return {
    tell(dueAtMs) {
      const idle = nearestMs === Infinity;
      nearestMs = Math.min(nearestMs, dueAtMs);
      if (!idle) return;
      setTimeout(() => {
        const dueMs = nearestMs;
        nearestMs = Infinity;
        database.query(notify, [Math.floor(dueMs)]).catch(() => undefined);
      }, gatherMs).unref();
    },
    tellLanes(projectId) {
      database.query(notifyLanes, [projectId]).catch(() => undefined);
    },
  };
}
