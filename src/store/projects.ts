import type { Actor } from '../core/audit.ts';
import { auditOf, auditValues } from './auditLog.ts';
import type { Database } from './database.ts';

/** A tenant. Instants in milliseconds of the Unix epoch. */
export interface Project {
  readonly id: number;
  readonly name: string;
  readonly createdAtMs: number;
  /** Since when none of its timers starts; null: they do. */
  readonly pausedAtMs: number | null;
}

type ProjectRow = readonly [
  id: number,
  name: string,
  createdAtMs: number,
  pausedAtMs: number | null,
];

const insertProject = {
  name: 'insert_project',
  text: `
WITH made AS (
  INSERT INTO belfry.projects (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
  RETURNING id, name, created_at
), ${auditOf('made', 2, { projectId: 'made.id', target: 'made.id::text' })}
SELECT id, name, created_at, NULL::timestamptz FROM made`,
};

const columns = `p.id, p.name, p.created_at, l.changed_at
FROM belfry.projects p LEFT JOIN belfry.lanes l
  ON l.project_id = p.id AND l.kind = 'project' AND l.target = '' AND l.state = 'closed'`;

const listProjects = {
  name: 'list_projects',
  text: `
SELECT ${columns} ORDER BY p.id`,
};

const readProject = {
  name: 'read_project',
  text: `
SELECT ${columns} WHERE p.id = $1::bigint`,
};

// The lane is the truth about a pause. A change of state waits for those who park or release by the one
// before. One who asks for what is so already changes and records nothing.
const closeLane = {
  name: 'close_project_lane',
  text: `
WITH closed AS (
  INSERT INTO belfry.lanes AS l (project_id, kind, state)
  SELECT id, 'project', 'closed' FROM belfry.projects WHERE id = $1::bigint
  ON CONFLICT (project_id, kind, target) DO UPDATE SET state = 'closed',
    changed_at = clock_timestamp() WHERE l.state <> 'closed'
  RETURNING project_id
), ${auditOf('closed', 2, { projectId: 'closed.project_id', target: 'closed.project_id::text' })}
SELECT project_id FROM closed`,
};

const drainLane = {
  name: 'drain_project_lane',
  text: `
WITH drained AS (
  UPDATE belfry.lanes SET state = 'draining', changed_at = clock_timestamp(),
    next_release_at = clock_timestamp()
  WHERE project_id = $1::bigint AND kind = 'project' AND state = 'closed'
  RETURNING project_id
), ${auditOf('drained', 2, { projectId: 'drained.project_id', target: 'drained.project_id::text' })}
SELECT project_id FROM drained`,
};

export function createProjectStore(database: Database) {
  return {
    /** Undefined when there is one of that name. */
    async add(name: string, actor: Actor): Promise<Project | undefined> {
      const values = auditValues(actor, { action: 'project.create', detail: { name } });
      const [row] = await database.query<ProjectRow>(insertProject, [name, ...values]);
      return row === undefined ? undefined : projectOf(row);
    },
    async list(): Promise<Project[]> {
      return (await database.query<ProjectRow>(listProjects)).map(projectOf);
    },
    async read(id: number): Promise<Project | undefined> {
      const [row] = await database.inProject(id).query<ProjectRow>(readProject, [id]);
      return row === undefined ? undefined : projectOf(row);
    },
    /** From its commit on, what falls due is to be parked. */
    async pause(id: number, actor: Actor): Promise<void> {
      const values = auditValues(actor, { action: 'project.pause', detail: {} });
      await database.query(closeLane, [id, ...values]);
    },
    async resume(id: number, actor: Actor): Promise<void> {
      const values = auditValues(actor, { action: 'project.resume', detail: {} });
      await database.query(drainLane, [id, ...values]);
    },
  };
}

function projectOf([id, name, createdAtMs, pausedAtMs]: ProjectRow): Project {
  return { id, name, createdAtMs, pausedAtMs };
}
