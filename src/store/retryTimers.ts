import type { Due } from '../core/due.ts';
import type { TimerId } from '../core/ids.ts';
import { numberArray } from './arrayLiteral.ts';
import { createBatcher, type Batcher } from './batcher.ts';
import type { Database } from './database.ts';
import type { NearTimers } from './insertTimers.ts';

/** A wish that a failed or cancelled timer is tried once more. */
export interface Revival {
  readonly projectId: number;
  readonly id: TimerId;
  readonly due: Due;
}

// From history back among the live ones: attempts go on counting, failures start anew, what expires
// does so as long after the new due instant as before, and the name, which another may have by now, is
// gone. Served by history_project_id.
const retryTimers = {
  name: 'retry_timers',
  text: `
WITH base AS (
  SELECT date_trunc('milliseconds', statement_timestamp() + interval '999 microseconds') AS at
), input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::float8[], $4::float8[])
    AS i(id, project_id, delay_ms, due_at_ms)
), gone AS (
  DELETE FROM belfry.history h USING input i
  WHERE h.id = i.id AND h.project_id = i.project_id AND h.status IN ('failed', 'cancelled')
  RETURNING h.*, i.delay_ms, i.due_at_ms
)
INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, expires_at, attempts,
  timeout_ms, append_id, url, method, headers, body, retry, labels, metadata, version)
SELECT g.id, g.project_id, d.due_at, d.due_at, g.created_at, d.due_at + (g.expires_at - g.due_at),
  g.attempts, g.timeout_ms, g.append_id, g.url, g.method, g.headers, g.body, g.retry, g.labels,
  g.metadata, g.version + 1
FROM base, gone g, LATERAL (SELECT greatest(base.at, CASE WHEN g.due_at_ms IS NULL
    THEN base.at + g.delay_ms * interval '1 millisecond'
    ELSE timestamptz 'epoch' + g.due_at_ms * interval '1 millisecond' END) AS due_at) AS d
RETURNING id, project_id, round(date_part('epoch', next_at) * 1000)::bigint,
  round(date_part('epoch', (SELECT at FROM base)) * 1000)::bigint`,
};

/** Revives in batches; resolves with whether the timer was failed or cancelled and is live again. */
export function createTimerReviver(options: {
  database: Database;
  near?: Pick<NearTimers, 'committed'>;
}): Batcher<Revival, boolean> {
  const { database, near } = options;
  return createBatcher({
    name: 'retries',
    onLoss: 'fail',
    async flush(revivals) {
      const sorted = revivals.toSorted((a, b) => a.id - b.id);
      const rows = await database.query<[number, number, number, number]>(retryTimers, [
        numberArray(sorted.map(({ id }) => id)),
        numberArray(sorted.map(({ projectId }) => projectId)),
        numberArray(sorted.map(({ due }) => (due.kind === 'after' ? due.delayMs : null))),
        numberArray(sorted.map(({ due }) => (due.kind === 'at' ? due.dueAtMs : null))),
      ]);
      const nearestAtMs = Math.min(...rows.map(([, , nextAtMs]) => nextAtMs));
      if (rows.length > 0) near?.committed(nearestAtMs, nearestAtMs - (rows[0]?.[3] ?? 0));
      const revived = new Map(rows.map(([id, projectId]) => [id, projectId]));
      const answered = new Set<TimerId>();
      return revivals.map(({ id, projectId }) => {
        // Of two wishes for one timer, the first has it.
        if (revived.get(id) !== projectId || answered.has(id)) return false;
        answered.add(id);
        return true;
      });
    },
  });
}
