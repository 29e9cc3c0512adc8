import type { TimerId } from '../core/ids.ts';
import { createBatcher, type Batcher } from './batcher.ts';
import type { Database } from './database.ts';

/**
 * A wish to cancel: of a timer that nobody owns, or (with `fence`) of one that this process owns
 * and has taken out of its heap.
 */
export interface Cancellation {
  readonly projectId: number;
  readonly id: TimerId;
  readonly fence: { readonly owner: number; readonly claim: number } | null;
  /** The request of another process that this answers: taken up in the same commit, or not at all. */
  readonly giveBackId: number | null;
}

/** How long after a dead owner's lapse a timer of its counts as surely not being started. */
export const takeOverGuardMs = 2_000;

// Timers of owners that are dead for longer than the guard count as nobody's; an attempt that such
// an owner may have started is kept as lost.
const cancelTimers = {
  name: 'cancel_timers',
  text: `
WITH input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS i(id, project_id, owner, claim, give_back_id)
), taken_up AS (
  DELETE FROM belfry.give_backs g USING input i WHERE g.id = i.give_back_id RETURNING g.id
), past_owners AS MATERIALIZED (
  SELECT id, expires_at FROM belfry.processes
  WHERE dead AND expires_at <= statement_timestamp() - ${takeOverGuardMs} * interval '1 millisecond'
), gone AS (
  DELETE FROM belfry.timers t USING input i
  WHERE t.id = i.id AND t.project_id = i.project_id
    AND (i.give_back_id IS NULL OR i.give_back_id IN (SELECT id FROM taken_up))
    AND (t.owner IS NULL OR (t.owner = i.owner AND t.claim = i.claim)
      OR t.owner = ANY (ARRAY(SELECT id FROM past_owners)))
  RETURNING t.*
), judged AS (
  SELECT gone.*, p.id IS NOT NULL AND gone.next_at <= p.expires_at
    AND (gone.lost_in_row = 0 OR gone.start_marked) AS lost
  FROM gone LEFT JOIN past_owners p ON p.id = gone.owner
), lost_attempts AS (
  INSERT INTO belfry.attempts (timer_id, project_id, recorded_at, claim, number, error_code)
  SELECT id, project_id, statement_timestamp(), claim, attempts + 1, 'lost' FROM judged WHERE lost
)
INSERT INTO belfry.history (id, project_id, finished_at, due_at, created_at, expires_at,
  attempts, timeout_ms, append_id, status, failure_code, url, method, headers, body, retry, labels,
    metadata)
SELECT id, project_id, statement_timestamp(), due_at, created_at, expires_at,
  attempts + lost::integer, timeout_ms, append_id, 'cancelled', NULL, url, method, headers, body,
  retry, labels, metadata
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
      sorted.map((cancellation) => cancellation.giveBackId),
    ]);
    const cancelled = new Map(rows);
    return cancellations.map(({ id, projectId }) => cancelled.get(id) === projectId);
  }
  return createBatcher({ name: 'cancels', flush, onLoss: 'fail' });
}
