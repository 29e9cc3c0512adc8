import { listAudit, verifyAudit } from './access/audit.ts';
import { listBreakers, resetBreaker } from './access/breakers.ts';
import {
  deleteDestination,
  listDestinations,
  pauseDestination,
  resumeDestination,
  setDestination,
  showDestination,
} from './access/destinations.ts';
import { login, logout, whoami } from './access/login.ts';
import {
  createProject,
  listProjects,
  pauseProject,
  purgeProject,
  resumeProject,
} from './access/projects.ts';
import { deleteSecret, listSecrets, rotateSecrets, setSecret } from './access/secrets.ts';
import { setLimits, showLimits, showUsage, unsetLimits } from './access/limits.ts';
import {
  createSigningKey,
  deleteSigningKey,
  listSigningKeys,
  rotateSigningKey,
} from './access/signingKeys.ts';
import {
  createToken,
  listTokens,
  revokeToken,
  rotateToken,
  setTokenRate,
} from './access/tokens.ts';
import type { Command } from './command.ts';
import { completionScript, shells } from './completion.ts';
import { listen } from './listen.ts';
import { batch } from './timers/batch.ts';
import { cancel, retry } from './timers/several.ts';
import { attempts, create, fire, get, list, move, why } from './timers/single.ts';
import { jsonOption } from './terminal.ts';
import { watch } from './timers/watch.ts';

const none = { operands: '', operandsMin: 0, operandsMax: 0, options: [] } as const;

// The service's own modules are loaded when they are run: other commands start without them.
const dev: Command = {
  path: ['dev'],
  ...none,
  about: 'Try it on this machine: embedded PostgreSQL, loopback only.',
  examples: ['belfry dev'],
  async run() {
    const { runService } = await import('./run.ts');
    await runService('dev');
    return 0;
  },
};

const serve: Command = {
  path: ['serve'],
  ...none,
  about: 'Production: strict defaults, settings from the environment.',
  examples: ['DATABASE_URL=postgres://belfry@db/belfry belfry serve'],
  async run() {
    const { runService } = await import('./run.ts');
    await runService('serve');
    return 0;
  },
};

const migrate: Command = {
  path: ['migrate'],
  ...none,
  about: 'Bring the database schema up to date.',
  examples: ['belfry migrate'],
  async run() {
    const { migrateCommand } = await import('./migrate.ts');
    await migrateCommand();
    return 0;
  },
};

const adminInit: Command = {
  path: ['admin', 'init'],
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  about:
    'Gives the first token, of scope operator, once. From then on the service asks everybody for one. Works on the database, by the settings of the service.',
  options: [
    { name: 'again', about: 'another one, if it is lost; revokes those of all operators before' },
    jsonOption,
  ],
  examples: [
    'DATABASE_URL=postgres://belfry@db/belfry belfry admin init',
    'belfry admin init --again',
  ],
  async run(given, terminal) {
    const { giveFirstToken } = await import('./admin.ts');
    const token = await giveFirstToken(given.has('again'));
    if (token === undefined) {
      terminal.note('belfry: the first token has been given before; --again gives another one');
      return 1;
    }
    if (terminal.isJson) terminal.json({ token });
    else {
      terminal.line(token);
      terminal.note(
        'Shown this once. Keep it: "belfry login" puts it into your own configuration.',
      );
    }
    return 0;
  },
};

const completion: Command = {
  path: ['completion'],
  operands: `<${shells.join('|')}>`,
  operandsMin: 1,
  operandsMax: 1,
  operandValues: shells,
  about: 'Prints a script that makes the shell complete these commands.',
  options: [],
  examples: [
    'source <(belfry completion bash)',
    'source <(belfry completion zsh)',
    'belfry completion fish > ~/.config/fish/completions/belfry.fish',
  ],
  async run({ operands: [given] }, terminal) {
    const shell = shells.find((known) => known === given) ?? 'bash';
    terminal.line(completionScript(shell, commands).trimEnd());
    return 0;
  },
};

/** All commands, in the order in which help and docs have them. */
export const commands: readonly Command[] = [
  dev,
  serve,
  migrate,
  adminInit,
  create,
  list,
  get,
  attempts,
  why,
  watch,
  cancel,
  move,
  fire,
  retry,
  batch,
  login,
  logout,
  whoami,
  createProject,
  listProjects,
  pauseProject,
  resumeProject,
  purgeProject,
  createToken,
  listTokens,
  revokeToken,
  rotateToken,
  setSecret,
  listSecrets,
  deleteSecret,
  rotateSecrets,
  createSigningKey,
  listSigningKeys,
  rotateSigningKey,
  deleteSigningKey,
  setTokenRate,
  showLimits,
  setLimits,
  unsetLimits,
  showUsage,
  setDestination,
  listDestinations,
  showDestination,
  deleteDestination,
  pauseDestination,
  resumeDestination,
  listBreakers,
  resetBreaker,
  listAudit,
  verifyAudit,
  listen,
  completion,
];
