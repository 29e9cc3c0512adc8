import type { Actor } from '../core/audit.ts';
import { auditOf, auditValues } from './auditLog.ts';
import type { Database } from './database.ts';

/** A tenant. Instants in milliseconds of the Unix epoch. */
export interface Project {
  readonly id: number;
  readonly name: string;
  readonly createdAtMs: number;
}

type ProjectRow = readonly [id: number, name: string, createdAtMs: number];

const insertProject = {
  name: 'insert_project',
  text: `
WITH made AS (
  INSERT INTO belfry.projects (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
  RETURNING id, name, created_at
), ${auditOf('made', 2, { projectId: 'made.id', target: 'made.id::text' })}
SELECT id, name, created_at FROM made`,
};

const listProjects = {
  name: 'list_projects',
  text: `
SELECT id, name, created_at FROM belfry.projects ORDER BY id`,
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
  };
}

function projectOf([id, name, createdAtMs]: ProjectRow): Project {
  return { id, name, createdAtMs };
}
