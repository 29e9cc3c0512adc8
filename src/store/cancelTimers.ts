import type { TimerId } from '../core/ids.ts';
import { createBatcher, type Batcher } from './batcher.ts';
import type { Database } from './database.ts';
import { isFree, isLost, pastOwners } from './pastOwners.ts';

/** What proves that a timer is this process's to change: its claim. */
export interface ChangeFence {
  readonly owner: number;
  readonly claim: number;
}

/**
 * A wish to cancel: of a timer that nobody owns, or (with `fence`) of one that this process owns
 * and has taken out of its heap.
 */
export interface Cancellation {
  readonly projectId: number;
  readonly id: TimerId;
  readonly fence: ChangeFence | null;
}

// Served by timers_pkey, and by nothing else: `+ 0` keeps PostgreSQL 14 from reading timers_project_id, or the
// one from end to end, for the join. So it does where timers are freed of their names.
const cancelTimers = {
  name: 'cancel_timers',
  text: `
WITH input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
    AS i(id, project_id, owner, claim)
), ${pastOwners}, gone AS (
  DELETE FROM belfry.timers t USING input i
  WHERE t.id = ANY ($1::bigint[]) AND t.id + 0 = i.id AND t.project_id + 0 = i.project_id AND ${isFree}
  RETURNING t.*
), judged AS (
  SELECT f.*, ${isLost} AS lost
  FROM gone f LEFT JOIN past_owners p ON p.id = f.owner
), lost_attempts AS (
  INSERT INTO belfry.attempts (timer_id, project_id, recorded_at, claim, number, error_code)
  SELECT id, project_id, statement_timestamp(), claim, attempts + 1, 'lost' FROM judged WHERE lost
)
INSERT INTO belfry.history (id, project_id, finished_at, due_at, created_at, expires_at,
  attempts, timeout_ms, append_id, status, failure_code, url, method, headers, body, retry, labels,
    metadata, version, key)
SELECT id, project_id, statement_timestamp(), due_at, created_at, expires_at,
  attempts + lost::integer, timeout_ms, append_id, 'cancelled', NULL, url, method, headers, body,
  retry, labels, metadata, version, key
FROM judged
RETURNING id, project_id`,
};

/** Cancels in batches; resolves with whether the timer was cancelled by it. */
export function createTimerCanceller(database: Database): Batcher<Cancellation, boolean> {
  async function flush(cancellations: readonly Cancellation[]): Promise<boolean[]> {
    const sorted = cancellations.toSorted((a, b) => a.id - b.id);
    const rows = await database.query<[number, number]>(cancelTimers, [
      sorted.map((cancellation) => cancellation.id),
      sorted.map((cancellation) => cancellation.projectId),
      sorted.map(({ fence }) => fence?.owner ?? null),
      sorted.map(({ fence }) => fence?.claim ?? null),
    ]);
    const cancelled = new Map(rows);
    return cancellations.map(({ id, projectId }) => cancelled.get(id) === projectId);
  }
  return createBatcher({ name: 'cancels', flush, onLoss: 'fail' });
}
