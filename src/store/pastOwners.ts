import { takeOverGuardMs } from '../core/timer.ts';

/**
 * Timers of owners that are dead for longer than the guard count as nobody's; an attempt that such an
 * owner may have started is kept as lost.
 */
export const pastOwners = `past_owners AS MATERIALIZED (
  SELECT id, expires_at FROM belfry.processes
  WHERE dead AND expires_at <= statement_timestamp() - ${takeOverGuardMs} * interval '1 millisecond'
)`;

/** Whether a change may touch the timer `t`, given the fence of the input `i` (nulls for none). */
export const isFree = `(t.owner IS NULL OR (t.owner = i.owner AND t.claim = i.claim)
      OR t.owner = ANY (ARRAY(SELECT id FROM past_owners)))`;

/** Whether an attempt of the timer `f` may have been started by its past owner `p`. */
export const isLost = `p.id IS NOT NULL AND f.next_at <= p.expires_at
    AND (f.lost_in_row = 0 OR f.start_marked)`;
