import { createClient } from '../../../packages/client/src/index.ts';
import { UsageError, type Command } from '../command.ts';
import { readCredentials, writeCredentials } from '../credentials.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';

const nothing = { operands: '', operandsMin: 0, operandsMax: 0 } as const;

export const login: Command = {
  path: ['login'],
  ...nothing,
  about:
    'Keeps a token for a service, after trying it: from then on commands talk to that service with it. Asks for the token, or reads it from standard input.',
  options: serviceOptions,
  examples: ['belfry login --url https://belfry.example', 'belfry admin init | belfry login'],
  async run(given, terminal) {
    const { url, credentialsPath } = terminal;
    const token = given.text('token') ?? tokenIn(await terminal.secret(`Token for ${url}: `));
    if (token === undefined || token === '') throw new UsageError('no token was given');
    const caller = await createClient({ url, token }).whoami({ signal: terminal.signal });
    if (caller.kind === 'open') {
      throw new Error(`${url} asks nobody for a token: nothing was kept`);
    }
    const { tokens } = await readCredentials(credentialsPath);
    await writeCredentials(credentialsPath, { url, tokens: { ...tokens, [url]: token } });
    terminal.note(
      `Logged in to ${url} as "${caller.name}" (${caller.scopes.join(', ')}) of project ${caller.project}.`,
    );
    return 0;
  },
};

export const logout: Command = {
  path: ['logout'],
  ...nothing,
  about: 'Forgets the token for a service. It stays good: "belfry tokens revoke" ends it.',
  options: serviceOptions.filter(({ name }) => name === 'url'),
  examples: ['belfry logout'],
  async run(_given, terminal) {
    const { url, credentialsPath } = terminal;
    const { url: current, tokens } = await readCredentials(credentialsPath);
    const { [url]: token, ...others } = tokens;
    const kept = { url: current === url ? undefined : current, tokens: others };
    if (token !== undefined) await writeCredentials(credentialsPath, kept);
    terminal.note(token === undefined ? `There is no token for ${url}.` : `Logged out of ${url}.`);
    return 0;
  },
};

export const whoami: Command = {
  path: ['whoami'],
  ...nothing,
  about: 'Whom the token makes you.',
  options: [jsonOption, ...serviceOptions],
  examples: ['belfry whoami'],
  async run(_given, terminal) {
    const caller = await terminal.client.whoami({ signal: terminal.signal });
    if (terminal.isJson) terminal.json(caller);
    else if (caller.kind === 'open') terminal.line(`${terminal.url} asks nobody for a token.`);
    else {
      const { name, id, project, scopes } = caller;
      terminal.line(`${name} (token ${id}), project ${project}: ${scopes.join(', ')}`);
    }
    return 0;
  },
};

/** The token itself, or what the commands that give one print into a pipe. */
function tokenIn(text: string | undefined): string | undefined {
  if (text === undefined || !text.startsWith('{')) return text;
  try {
    const value: unknown = JSON.parse(text);
    const isToken = typeof value === 'object' && value !== null && 'token' in value;
    return isToken && typeof value.token === 'string' ? value.token : undefined;
  } catch {
    return undefined;
  }
}
