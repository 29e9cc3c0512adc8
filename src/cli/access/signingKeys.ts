import type { IssuedSigningKey, SigningKey } from '../../../packages/client/src/index.ts';
import { UsageError, type Command, type Given, type Option, type Terminal } from '../command.ts';
import { table } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { localTime, shownInstant, spanOf } from '../when.ts';
import { givenSecret } from './secrets.ts';

const shared = [jsonOption, ...serviceOptions];
const none = { operands: '', operandsMin: 0, operandsMax: 0 } as const;
const schemes = ['v1', 'v1a'] as const;
const ownSecret: Option = {
  name: 'own-secret',
  about: 'your own, whsec_… or whsk_…: asked for, or read from the standard input',
};

export const createSigningKey: Command = {
  path: ['signing-keys', 'create'],
  ...none,
  about:
    'Makes a key that signs the deliveries of the project, or those to some destinations, within a second. Shows what receivers verify with: of v1 a secret, this once; of v1a a public key.',
  options: [
    {
      name: 'destination',
      takes: 'pattern',
      about:
        'host, host:port, *.host or * (the default: all); the keys of the most specific that has any sign, and no others',
    },
    {
      name: 'scheme',
      takes: 'scheme',
      values: schemes,
      about: 'v1: a shared secret (HMAC-SHA256), the default; v1a: a public key (Ed25519)',
    },
    ownSecret,
    ...shared,
  ],
  examples: [
    'belfry signing-keys create',
    'belfry signing-keys create --scheme v1a',
    'belfry signing-keys create --destination api.example.com',
  ],
  async run(given, terminal) {
    const scheme = schemes.find((known) => known === given.text('scheme'));
    const destination = given.text('destination');
    const key = {
      ...(destination === undefined ? {} : { destination }),
      ...(scheme === undefined ? {} : { scheme }),
      ...(await ownSecretOf(given, terminal)),
    };
    const { signal } = terminal;
    show(await terminal.client.signingKeys.create(key, { signal }), terminal);
    return 0;
  },
};

export const listSigningKeys: Command = {
  path: ['signing-keys', 'list'],
  ...none,
  about: 'Lists the keys that sign the deliveries of the project, without their secrets.',
  options: shared,
  examples: ['belfry signing-keys list'],
  async run(_given, terminal) {
    const keys = await terminal.client.signingKeys.list({ signal: terminal.signal });
    if (terminal.isJson) for (const key of keys) terminal.json(key);
    else {
      const head = ['ID', 'DESTINATION', 'SCHEME', 'MADE', 'RETIRES', 'PUBLIC KEY'];
      terminal.line(table([head, ...keys.map((key) => row(key, Date.now()))]));
    }
    return 0;
  },
};

export const rotateSigningKey: Command = {
  path: ['signing-keys', 'rotate'],
  operands: '<id>',
  operandsMin: 1,
  operandsMax: 1,
  about:
    'Makes another signing key in place of one, for the same destinations; the old one signs along for a while: receivers change over within that.',
  options: [
    { name: 'overlap', takes: 'span', about: 'so long the old one signs along; default: 1d' },
    ownSecret,
    ...shared,
  ],
  examples: ['belfry signing-keys rotate 0123456789abcdef --overlap 7d'],
  async run(given, terminal) {
    const overlap = given.text('overlap');
    const issued = await terminal.client.signingKeys.rotate(given.operands[0] ?? '', {
      signal: terminal.signal,
      ...(overlap === undefined ? {} : { overlap: spanOf('overlap', overlap) }),
      ...(await ownSecretOf(given, terminal)),
    });
    show(issued, terminal);
    return 0;
  },
};

export const deleteSigningKey: Command = {
  path: ['signing-keys', 'delete'],
  operands: '<id>',
  operandsMin: 1,
  operandsMax: 1,
  about:
    'Deletes a signing key: within a second it signs no more. Where a destination has no other, those of all destinations do; without any, deliveries go out unsigned.',
  options: shared,
  examples: ['belfry signing-keys delete 0123456789abcdef'],
  async run({ operands: [id = ''] }, terminal) {
    const key = await terminal.client.signingKeys.delete(id, { signal: terminal.signal });
    if (terminal.isJson) terminal.json(key);
    else terminal.line(`Signing key ${key.id} is deleted.`);
    return 0;
  },
};

async function ownSecretOf(
  given: Given,
  terminal: Terminal,
): Promise<{ readonly secret?: string }> {
  if (!given.has('own-secret')) return {};
  const secret = await givenSecret('Secret: ', terminal);
  if (secret === undefined) {
    throw new UsageError('--own-secret takes the secret from the standard input, and got none');
  }
  return { secret };
}

function show(issued: IssuedSigningKey, terminal: Terminal): void {
  if (terminal.isJson) terminal.json(issued);
  else {
    const { id, secret, public_key: publicKey } = issued;
    terminal.line(secret ?? publicKey ?? '');
    terminal.note(`${secret === null ? '' : 'Shown this once. '}The id of the key is ${id}.`);
  }
}

function row(key: SigningKey, nowMs: number): string[] {
  const { id, destination, scheme, created_at: madeAt, retires_at: retiresAt } = key;
  const instants = [localTime(madeAt), shownInstant(retiresAt, nowMs)];
  return [id, destination, scheme, ...instants, key.public_key ?? '-'];
}
