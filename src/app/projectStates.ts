import type { ProjectStateService } from '../api/routes/projectStates.ts';
import type { createProjectStore } from '../store/projects.ts';

/** Pausing and resuming; `onChanged` is told what has to be known everywhere within a second. */
export function projectStates(
  projects: ReturnType<typeof createProjectStore>,
  onChanged: (id: number) => Promise<void>,
): ProjectStateService['projectStates'] {
  async function shown(id: number) {
    await onChanged(id);
    return projects.read(id);
  }
  return {
    read: projects.read,
    pause: async (id, actor) => (await projects.pause(id, actor), shown(id)),
    resume: async (id, actor) => (await projects.resume(id, actor), shown(id)),
  };
}
