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
INSERT INTO belfry.projects (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
RETURNING id, name, created_at`,
};

const listProjects = {
  name: 'list_projects',
  text: `
SELECT id, name, created_at FROM belfry.projects ORDER BY id`,
};

export function createProjectStore(database: Database) {
  return {
    /** Undefined when there is one of that name. */
    async add(name: string): Promise<Project | undefined> {
      const [row] = await database.query<ProjectRow>(insertProject, [name]);
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
