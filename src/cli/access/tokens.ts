import type { IssuedToken, Scope, Token } from '../../../packages/client/src/index.ts';
import { UsageError, type Command, type Terminal } from '../command.ts';
import { table } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { visible } from '../visible.ts';
import { shownInstant, spanOf } from '../when.ts';
import { rateOf, rateOption } from './limits.ts';
import { projectOf, projectOption } from './projects.ts';

const shared = [jsonOption, ...serviceOptions];
const scopes = [
  'timers:read',
  'timers:write',
  'admin',
  'operator',
] as const satisfies readonly Scope[];

export const createToken: Command = {
  path: ['tokens', 'create'],
  operands: '<name>',
  operandsMin: 1,
  operandsMax: 1,
  about: 'Gives a token, of no more than you may do yourself. It is shown this once.',
  options: [
    { name: 'scope', takes: 'scope', isRepeatable: true, values: scopes, about: 'what it allows' },
    { name: 'expires-in', takes: 'span', about: 'ends so long from now; default: never' },
    rateOption,
    projectOption,
    ...shared,
  ],
  examples: [
    'belfry tokens create checkout --scope timers:read --scope timers:write',
    'belfry tokens create shop-admin --scope admin --project 2 --expires-in 90d',
  ],
  async run(given, terminal) {
    const wanted = scopes.filter((scope) => given.texts('scope').includes(scope));
    if (wanted.length === 0) throw new UsageError('tokens create needs a --scope');
    const expiresIn = given.text('expires-in');
    const rate = given.text('rate');
    const issued = await terminal.client.tokens.create(
      {
        name: given.operands[0] ?? '',
        scopes: wanted,
        ...projectOf(given),
        ...(rate === undefined ? {} : { rate: rateOf(rate) }),
        ...(expiresIn === undefined ? {} : { expires_after: spanOf('expires-in', expiresIn) }),
      },
      { signal: terminal.signal },
    );
    show(issued, terminal);
    return 0;
  },
};

export const listTokens: Command = {
  path: ['tokens', 'list'],
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  about: 'Lists the tokens of a project, with those that have ended.',
  options: [projectOption, ...shared],
  examples: ['belfry tokens list', 'belfry tokens list --project 2'],
  async run(given, terminal) {
    const { signal } = terminal;
    const tokens = await terminal.client.tokens.list({ ...projectOf(given), signal });
    if (terminal.isJson) for (const token of tokens) terminal.json(token);
    else {
      const head = ['ID', 'NAME', 'SCOPES', 'STATE', 'LAST USED'];
      terminal.line(table([head, ...tokens.map((token) => row(token, Date.now()))]));
    }
    return 0;
  },
};

export const revokeToken: Command = {
  path: ['tokens', 'revoke'],
  operands: '<id…>',
  operandsMin: 1,
  operandsMax: Infinity,
  about: 'Ends tokens: no process takes them any more within a second.',
  options: shared,
  examples: ['belfry tokens revoke 0123456789abcdef'],
  async run({ operands }, terminal) {
    for (const id of operands) {
      const token = await terminal.client.tokens.revoke(id, { signal: terminal.signal });
      if (terminal.isJson) terminal.json(token);
      else terminal.line(`Token ${token.id} (${visible(token.name)}) is revoked.`);
    }
    return 0;
  },
};

export const rotateToken: Command = {
  path: ['tokens', 'rotate'],
  operands: '<id>',
  operandsMin: 1,
  operandsMax: 1,
  about: 'Gives another token in place of one. It is shown this once.',
  options: [
    { name: 'overlap', takes: 'span', about: 'so long the old one is good still; default: 1h' },
    ...shared,
  ],
  examples: ['belfry tokens rotate 0123456789abcdef --overlap 1d'],
  async run(given, terminal) {
    const overlap = given.text('overlap');
    const issued = await terminal.client.tokens.rotate(given.operands[0] ?? '', {
      signal: terminal.signal,
      ...(overlap === undefined ? {} : { overlap: spanOf('overlap', overlap) }),
    });
    show(issued, terminal);
    return 0;
  },
};

export const setTokenRate: Command = {
  path: ['tokens', 'rate'],
  operands: '<id> <rate>',
  operandsMin: 2,
  operandsMax: 2,
  about: 'Sets how often a token may ask: requests[/span[,burst]], or none. Holds within a second.',
  options: shared,
  examples: [
    'belfry tokens rate 0123456789abcdef 10/1s,20',
    'belfry tokens rate 0123456789abcdef none',
  ],
  async run({ operands: [id = '', rate = ''] }, terminal) {
    const wish = rate === 'none' ? null : rateOf(rate);
    const token = await terminal.client.tokens.setRate(id, wish, { signal: terminal.signal });
    if (terminal.isJson) terminal.json(token);
    else terminal.line(`Token ${token.id} (${visible(token.name)}): ${rate}.`);
    return 0;
  },
};

function show(issued: IssuedToken, terminal: Terminal): void {
  if (terminal.isJson) terminal.json(issued);
  else {
    terminal.line(issued.token);
    terminal.note(`Shown this once. Its id is ${issued.id}, of project ${issued.project}.`);
  }
}

function row(token: Token, nowMs: number): string[] {
  const { id, name, scopes: allowed, last_used_at: usedAt } = token;
  return [id, visible(name), allowed.join(','), stateOf(token, nowMs), shownInstant(usedAt, nowMs)];
}

function stateOf({ revoked_at: revokedAt, expires_at: expiresAt }: Token, nowMs: number): string {
  if (revokedAt !== null) return 'revoked';
  if (expiresAt === null) return 'good';
  return Date.parse(expiresAt) <= nowMs ? 'expired' : `ends ${shownInstant(expiresAt, nowMs)}`;
}
