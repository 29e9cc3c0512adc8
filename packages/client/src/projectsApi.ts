import { answerJson } from './answerJson.ts';
import { planSteps, runSteps, type BulkOptions, type BulkPlan, type BulkResult } from './bulk.ts';
import type { Project } from './responses.ts';
import type { CallOptions, Sender } from './sender.ts';

/** Making and listing projects is for operators, the rest for admins of the project as well. */
export interface ProjectsApi {
  create(project: { readonly name: string }, options?: CallOptions): Promise<Project>;
  list(options?: CallOptions): Promise<readonly Project[]>;
  /**
   * Within a second of the answer no process starts an attempt of its timers.
   * @throws BelfryApiError `project_not_found`, as all that follow.
   */
  pause(id: number, options?: CallOptions): Promise<Project>;
  /** What fell due meanwhile starts in the order of its due instants, 1,000 a second. */
  resume(id: number, options?: CallOptions): Promise<Project>;
  /** Counts the live timers that `purge` would cancel. */
  planPurge(id: number, options?: CallOptions): Promise<BulkPlan>;
  /** Cancels all its live timers that exist when it is planned. */
  purge(id: number, options?: BulkOptions): Promise<BulkResult>;
}

export function createProjectsApi(sender: Sender): ProjectsApi {
  const pathOf = (id: number, action: string) => `/projects/${encodeURIComponent(id)}/${action}`;
  /** Repeated, it finds what it wants and does nothing. */
  async function change(id: number, action: string, options?: CallOptions): Promise<Project> {
    const call = { method: 'POST', path: pathOf(id, action), isRepeatable: true } as const;
    return answerJson(await sender.send(call, options));
  }
  return {
    // Sent again, it would make a project twice.
    async create(project, options) {
      const call = {
        method: 'POST',
        path: '/projects',
        body: project,
        isRepeatable: false,
      } as const;
      return answerJson(await sender.send(call, options));
    },
    async list(options) {
      const call = { method: 'GET', path: '/projects', isRepeatable: true } as const;
      const answer = await sender.send(call, options);
      return answerJson<{ readonly projects: readonly Project[] }>(answer).projects;
    },
    pause: (id, options) => change(id, 'pause', options),
    resume: (id, options) => change(id, 'resume', options),
    planPurge: (id, options) => planSteps(sender, { path: pathOf(id, 'purge') }, options),
    purge: (id, options) => runSteps(sender, { path: pathOf(id, 'purge') }, options),
  };
}
