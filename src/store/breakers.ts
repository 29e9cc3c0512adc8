import type { Actor } from '../core/audit.ts';
import type { BreakerReason, ShownBreaker } from '../core/breaker.ts';
import { auditOf, auditValues } from './auditLog.ts';
import type { Database } from './database.ts';
import type { Destination } from './destinationLanes.ts';

const inMs = (parameter: string) =>
  `statement_timestamp() + ${parameter}::float8 * interval '1 millisecond'`;

// Two that close it at once: the second only makes the pause longer, if it has to. By lanes_cause.
const openBreaker = {
  name: 'open_breaker',
  text: `
INSERT INTO belfry.lanes AS l
  (project_id, kind, target, state, closed_until, closed_reason, next_release_at, failing_since)
VALUES ($1::bigint, 'destination', $2, 'limited', 'infinity', $3, ${inMs('$4')}, statement_timestamp())
ON CONFLICT (project_id, kind, target) DO UPDATE SET state = 'limited', closed_until = 'infinity',
  closed_reason = coalesce(l.closed_reason, excluded.closed_reason),
  next_release_at = CASE WHEN l.closed_until = 'infinity'
    THEN greatest(l.next_release_at, excluded.next_release_at) ELSE excluded.next_release_at END,
  failing_since = coalesce(l.failing_since, excluded.failing_since),
  changed_at = CASE WHEN l.state = 'limited' THEN l.changed_at ELSE clock_timestamp() END
RETURNING date_part('epoch', next_release_at) * 1000`,
};

// The pause doubles with each probe that fails. By lanes_cause.
const probeFailed = {
  name: 'breaker_probe_failed',
  text: `
WITH l AS MATERIALIZED (
  SELECT id, project_id, target, probes + 1 AS probes,
    coalesce(failing_since <= ${inMs('-$7')}, false) AS is_over
  FROM belfry.lanes
  WHERE project_id = $1::bigint AND kind = 'destination' AND target = $2
    AND closed_until = 'infinity' AND closed_reason <> 'disabled'
  FOR UPDATE
), failed AS (
  UPDATE belfry.lanes b SET probes = l.probes,
    closed_reason = CASE WHEN l.is_over THEN 'disabled' ELSE $3 END,
    next_release_at = CASE WHEN l.is_over THEN 'infinity'
      ELSE ${inMs(`greatest($4::float8, least($6::float8, $5::float8 * 2 ^ least(l.probes, 30)))`)} END
  FROM l WHERE b.id = l.id
  RETURNING b.project_id, b.target, b.next_release_at, l.is_over
), deed AS (SELECT * FROM failed WHERE is_over
), ${auditOf('deed', 8, { projectId: 'deed.project_id', target: 'deed.target' })}
SELECT CASE WHEN NOT is_over THEN date_part('epoch', next_release_at) * 1000 END FROM failed`,
};

// Not one that is disabled: somebody has to say that it is in order again.
const closeBreaker = {
  name: 'close_breaker',
  text: `
UPDATE belfry.lanes
SET closed_until = '-infinity', closed_reason = NULL, failing_since = NULL, probes = 0
WHERE project_id = $1::bigint AND kind = 'destination' AND target = $2
  AND closed_until = 'infinity' AND closed_reason <> 'disabled'`,
};

const resetBreaker = {
  name: 'reset_breaker',
  text: `
WITH deed AS (
  UPDATE belfry.lanes
  SET closed_until = '-infinity', closed_reason = NULL, failing_since = NULL, probes = 0
  WHERE project_id = $1::bigint AND kind = 'destination' AND target = $2 AND closed_until = 'infinity'
  RETURNING project_id, target
), ${auditOf('deed', 3, { projectId: 'deed.project_id', target: 'deed.target' })}
SELECT target FROM deed`,
};

const listBreakers = {
  name: 'list_breakers',
  text: `
SELECT target, closed_reason, date_part('epoch', failing_since) * 1000,
  CASE WHEN next_release_at < 'infinity' THEN date_part('epoch', next_release_at) * 1000 END, probes
FROM belfry.lanes
WHERE project_id = $1::bigint AND kind = 'destination' AND state <> 'open' AND closed_until = 'infinity'
ORDER BY target`,
};

// Where nobody has waited for so long, the next to fail opens it anew. See openEmptied for the parkings.
const forgetIdle = {
  name: 'forget_idle_breakers',
  text: `
UPDATE belfry.lanes l SET state = 'open', changed_at = clock_timestamp(),
  closed_until = '-infinity', closed_reason = NULL, failing_since = NULL, probes = 0
WHERE l.id IN (
    SELECT id FROM belfry.lanes b
    WHERE state = 'limited' AND kind = 'destination' AND closed_until = 'infinity'
      AND next_release_at < ${inMs('-$1')}
      AND NOT EXISTS (SELECT 1 FROM belfry.timers WHERE parked_lane = b.id)
    LIMIT 1000)
  AND l.closed_until = 'infinity' AND l.next_release_at < ${inMs('-$1')}
  AND l.parkings = (SELECT seen.parkings FROM belfry.lanes seen WHERE seen.id = l.id)
  AND NOT EXISTS (SELECT 1 FROM belfry.timers WHERE parked_lane = l.id)`,
};

/** Nobody asked for it. */
const service: Actor = { kind: 'service', id: '', name: '', address: '' };
const idleForMs = 6 * 3_600_000;

/** Breakers of destinations, which all processes share. Their lanes: store/destinationLanes. */
export function createBreakerStore(database: Database) {
  return {
    /** Nothing but a probe leaves, `pauseMs` from now. Resolves with when that is. */
    async open(
      { projectId, origin }: Destination,
      { reason, pauseMs }: { reason: BreakerReason; pauseMs: number },
    ): Promise<number> {
      const values = [projectId, origin, reason, pauseMs];
      const [row] = await database.query<[number | null]>(openBreaker, values);
      return row?.[0] ?? Infinity;
    },
    /**
     * Resolves with when the next may leave: `baseMs`, doubled with each that has failed, up to `mostMs`, but
     * no sooner than `leastMs`; Infinity when it is disabled by that, having failed for `disableAfterMs`;
     * undefined when it is not open any more.
     */
    async probeFailed(
      { projectId, origin }: Destination,
      pause: {
        reason: BreakerReason;
        leastMs: number;
        baseMs: number;
        mostMs: number;
        disableAfterMs: number;
      },
    ): Promise<number | undefined> {
      const { reason, leastMs, baseMs, mostMs, disableAfterMs } = pause;
      const deed = { action: 'breaker.disable', detail: {} } as const;
      const disableMs = disableAfterMs === Infinity ? null : disableAfterMs;
      const values = [projectId, origin, reason, leastMs, baseMs, mostMs, disableMs];
      const [row] = await database.query<[number | null]>(probeFailed, [
        ...values,
        ...auditValues(service, deed),
      ]);
      return row === undefined ? undefined : (row[0] ?? Infinity);
    },
    /** It answers again; one that is disabled stays so. */
    async close({ projectId, origin }: Destination): Promise<void> {
      await database.query(closeBreaker, [projectId, origin]);
    },
    /** False when there was nothing to reset. */
    async reset({ projectId, origin }: Destination, actor: Actor): Promise<boolean> {
      const values = auditValues(actor, { action: 'breaker.reset', detail: {} });
      return (await database.query(resetBreaker, [projectId, origin, ...values])).length > 0;
    },
    async list(projectId: number): Promise<ShownBreaker[]> {
      const rows = await database
        .inProject(projectId)
        .query<[string, BreakerReason, number, number | null, number]>(listBreakers, [projectId]);
      return rows.map(([origin, reason, failingSinceMs, nextProbeAtMs, probes]) => {
        return { origin, reason, failingSinceMs, nextProbeAtMs, probes };
      });
    },
    /** Some thousand at most. */
    async forget(): Promise<void> {
      await database.query(forgetIdle, [idleForMs]);
    },
  };
}

export type BreakerStore = ReturnType<typeof createBreakerStore>;
