import { text } from 'node:stream/consumers';
import type { Secret } from '../../../packages/client/src/index.ts';
import { UsageError, type Command, type Terminal } from '../command.ts';
import { table } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { localTime } from '../when.ts';

const shared = [jsonOption, ...serviceOptions];
const none = { operands: '', operandsMin: 0, operandsMax: 0 } as const;
const named = { operands: '<name>', operandsMin: 1, operandsMax: 1 } as const;

export const setSecret: Command = {
  path: ['secrets', 'set'],
  ...named,
  about:
    'Creates or replaces a secret of the project, which {{secret:name}} in the headers, path and query of timers stands for. Its value is asked for, or read from the standard input.',
  options: shared,
  examples: ['belfry secrets set stripe-key', 'belfry secrets set stripe-key < key.txt'],
  async run({ operands: [name = ''] }, terminal) {
    const value = await valueFor(name, terminal);
    const { signal } = terminal;
    show(await terminal.client.secrets.set(name, value, { signal }), 'is set', terminal);
    return 0;
  },
};

export const listSecrets: Command = {
  path: ['secrets', 'list'],
  ...none,
  about: 'Lists the secrets of the project, without their values.',
  options: shared,
  examples: ['belfry secrets list'],
  async run(_given, terminal) {
    const secrets = await terminal.client.secrets.list({ signal: terminal.signal });
    if (terminal.isJson) for (const secret of secrets) terminal.json(secret);
    else {
      const rows = secrets.map(({ name, updated_at, key_id }) => [
        name,
        localTime(updated_at),
        key_id,
      ]);
      terminal.line(table([['NAME', 'SET', 'KEY'], ...rows]));
    }
    return 0;
  },
};

export const deleteSecret: Command = {
  path: ['secrets', 'delete'],
  ...named,
  about: 'Deletes a secret of the project. Attempts of timers that use it fail from then on.',
  options: shared,
  examples: ['belfry secrets delete stripe-key'],
  async run({ operands: [name = ''] }, terminal) {
    const { signal } = terminal;
    show(await terminal.client.secrets.delete(name, { signal }), 'is deleted', terminal);
    return 0;
  },
};

export const rotateSecrets: Command = {
  path: ['secrets', 'rotate'],
  ...none,
  about:
    'Encrypts everything of all projects with the first key of SECRET_KEYS, while the service works: named secrets, and the secret headers of timers, also those of before there was a key. Says which keys can go then. Broken off, it is begun anew; what is done is passed over.',
  options: shared,
  examples: ['belfry secrets rotate'],
  async run(_given, terminal) {
    const result = await terminal.client.secrets.rotate({
      signal: terminal.signal,
      onProgress: ({ examined, changed }) =>
        terminal.progress(`${examined} rows looked at, ${changed} encrypted anew`),
    });
    terminal.progress('');
    const { cursor: _, ...sums } = result;
    if (terminal.isJson) terminal.json(sums);
    else {
      const { examined, changed, left, key_id: keyId, retired_key_ids: retired } = result;
      terminal.line(
        `${examined} rows looked at, ${changed} encrypted anew, ${left} left as they were.`,
      );
      if (left === 0) terminal.line(`All is under the key ${keyId}.`);
      if (retired.length > 0) terminal.line(`Nothing is under ${retired.join(', ')} any more.`);
    }
    if (result.left > 0) {
      terminal.note(
        'belfry: some rows were being changed, or cannot be decrypted: rotate once more',
      );
      return 1;
    }
    return 0;
  },
};

/** Never from the command line, which others on the machine can read. */
async function valueFor(name: string, terminal: Terminal): Promise<string> {
  const value = await givenSecret(`Value of ${name}: `, terminal);
  if (value === undefined) {
    throw new UsageError('secrets set takes the value from the standard input, and got none');
  }
  return value;
}

/** Asked for, or read from a pipe; undefined for none. */
export async function givenSecret(prompt: string, terminal: Terminal): Promise<string | undefined> {
  const value = process.stdin.isTTY
    ? await terminal.secret(prompt)
    : (await text(process.stdin)).replace(/\r?\n$/, '');
  return value === '' ? undefined : value;
}

function show(secret: Secret, what: string, terminal: Terminal): void {
  if (terminal.isJson) terminal.json(secret);
  else terminal.line(`${secret.name} ${what}.`);
}
