import { UsageError, type Command, type Given } from '../command.ts';
import { changePlanned } from '../timers/several.ts';
import { table } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { visible } from '../visible.ts';
import { localTime } from '../when.ts';

const shared = [jsonOption, ...serviceOptions];

export const projectOption = {
  name: 'project',
  takes: 'number',
  about: 'another project than your own: for operators',
} as const;

/** The project that is meant; none: the caller's own. */
export function projectOf(given: Given): { readonly project?: number } {
  const text = given.text('project');
  if (text === undefined) return {};
  const project = /^[1-9]\d{0,14}$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(project)) throw new UsageError(`--project got "${text}"; it takes a number`);
  return { project };
}

export const createProject: Command = {
  path: ['projects', 'create'],
  operands: '<name>',
  operandsMin: 1,
  operandsMax: 1,
  about: 'Makes a project: what is of one is not there for callers of another.',
  options: shared,
  examples: ['belfry projects create shop'],
  async run({ operands: [name = ''] }, terminal) {
    const project = await terminal.client.projects.create({ name }, { signal: terminal.signal });
    if (terminal.isJson) terminal.json(project);
    else terminal.line(`Project ${project.id} is ${visible(project.name)}.`);
    return 0;
  },
};

export const listProjects: Command = {
  path: ['projects', 'list'],
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  about: 'Lists all projects.',
  options: shared,
  examples: ['belfry projects list'],
  async run(_given, terminal) {
    const projects = await terminal.client.projects.list({ signal: terminal.signal });
    if (terminal.isJson) for (const project of projects) terminal.json(project);
    else {
      const rows = projects.map(({ id, name, created_at, paused_at }) => [
        String(id),
        visible(name),
        localTime(created_at),
        paused_at === null ? 'runs' : `paused ${localTime(paused_at)}`,
      ]);
      terminal.line(table([['ID', 'NAME', 'CREATED', 'STATE'], ...rows]));
    }
    return 0;
  },
};

export const pauseProject: Command = {
  path: ['projects', 'pause'],
  operands: '<id>',
  operandsMin: 1,
  operandsMax: 1,
  about: 'Lets no timer of a project start: within a second, in every process.',
  options: shared,
  examples: ['belfry projects pause 2'],
  async run({ operands: [id] }, terminal) {
    const { signal } = terminal;
    const project = await terminal.client.projects.pause(projectIdOf(id), { signal });
    if (terminal.isJson) terminal.json(project);
    else terminal.line(`Project ${project.id} (${visible(project.name)}) is paused.`);
    return 0;
  },
};

export const resumeProject: Command = {
  path: ['projects', 'resume'],
  operands: '<id>',
  operandsMin: 1,
  operandsMax: 1,
  about: 'Lets the timers of a paused project start again; what fell due first, 1,000 a second.',
  options: shared,
  examples: ['belfry projects resume 2'],
  async run({ operands: [id] }, terminal) {
    const { signal } = terminal;
    const project = await terminal.client.projects.resume(projectIdOf(id), { signal });
    if (terminal.isJson) terminal.json(project);
    else terminal.line(`Project ${project.id} (${visible(project.name)}) runs.`);
    return 0;
  },
};

export const purgeProject: Command = {
  path: ['projects', 'purge'],
  operands: '<id>',
  operandsMin: 1,
  operandsMax: 1,
  about: 'Cancels all live timers of a project, after asking.',
  options: [
    { name: 'dry-run', about: 'only counts them' },
    { name: 'yes', about: 'does not ask' },
    ...shared,
  ],
  examples: ['belfry projects purge 2 --dry-run', 'belfry projects purge 2 --yes'],
  run(given, terminal) {
    const id = projectIdOf(given.operands[0]);
    const { projects } = terminal.client;
    return changePlanned(given, terminal, {
      verb: 'cancel',
      plan: () => projects.planPurge(id, { signal: terminal.signal }),
      run: (options) => projects.purge(id, options),
    });
  },
};

function projectIdOf(text = ''): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new UsageError(`"${text}" is not the number of a project`);
}
