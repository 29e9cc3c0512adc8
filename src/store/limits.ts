import type { Actor } from '../core/audit.ts';
import type { LimitsPatch, ProjectLimits } from '../core/limits.ts';
import { auditOf, auditValues } from './auditLog.ts';
import type { Database } from './database.ts';

// By projects_pkey.
const readLimits = {
  name: 'read_project_limits',
  text: `SELECT coalesce(limits, '{}') FROM belfry.projects WHERE id = $1::bigint`,
};

// What is known of the live timers is of no use where they were not counted before: forgotten, they are
// counted anew.
const setLimits = {
  name: 'set_project_limits',
  text: `
WITH changed AS (
  UPDATE belfry.projects p
  SET limits = nullif(jsonb_strip_nulls(coalesce(p.limits, '{}') || $2::jsonb), '{}')
  WHERE p.id = $1::bigint RETURNING p.id, p.limits
), forgotten AS (
  UPDATE belfry.quota_ledgers l SET live = NULL, recount_at = 'epoch', stale_at = 'epoch'
  FROM changed WHERE l.project_id = changed.id AND $2::jsonb ? 'liveTimers'
), ${auditOf('changed', 3, { projectId: 'changed.id', target: 'changed.id::text' })}
SELECT coalesce(limits, '{}') FROM changed`,
};

export function createLimitStore(database: Database) {
  return {
    /** Undefined when there is no such project. */
    async read(projectId: number): Promise<ProjectLimits | undefined> {
      const asked = database.inProject(projectId);
      const [row] = await asked.query<[ProjectLimits]>(readLimits, [projectId]);
      return row?.[0];
    },
    /** The limits as they are then; undefined when there is no such project. */
    async set(
      projectId: number,
      patch: LimitsPatch,
      actor: Actor,
    ): Promise<ProjectLimits | undefined> {
      const [row] = await database.query<[ProjectLimits]>(setLimits, [
        projectId,
        JSON.stringify(patch),
        ...auditValues(actor, { action: 'limits.set', detail: { project: patch } }),
      ]);
      return row?.[0];
    },
  };
}

export type LimitStore = ReturnType<typeof createLimitStore>;
