import { eventually } from './eventually.ts';

/** Calls of all routes about signing keys, to every status that they have with a database. */
export async function askSigningKeys(options: {
  call: (
    method: string,
    path: string,
    body?: unknown,
  ) => Promise<{ readonly status: number; readonly body: Record<string, unknown> }>;
  raw: (bytes: string) => Promise<void>;
  /** A body that is too large. */
  large: unknown;
  /** What a broken request ends with. */
  noChunk: string;
}) {
  const { call, raw, large, noChunk } = options;
  const all = '/signing-keys';
  const published = (project: number) => `/.well-known/belfry/${project}/signing-keys`;
  const made = async (body?: unknown) => {
    const answer = await call('POST', all, body);
    return `${all}/${String(answer.body['id'])}`;
  };

  await call('GET', published(1));
  await raw(`GET ${published(1)} HTTP/1.1\r\n${noChunk}`);
  await raw(`GET ${all} HTTP/1.1\r\n${noChunk}`);
  const path = await made({ scheme: 'v1a' });
  await made({ scheme: 'v2' });
  await made(large);
  await call('GET', all);
  const others = [await made(), await made(), await made(), await made()];
  await made();
  await call('POST', `${path}/rotate`);
  for (const other of others) await call('DELETE', other);
  await call('POST', `${path}/rotate`);
  await call('POST', `${path}/rotate`, { overlap: -1 });
  await call('POST', `${path}/rotate`, large);
  await call('POST', `${all}/0/rotate`);
  await call('DELETE', path, '{');
  await call('DELETE', path, large);
  await call('DELETE', `${all}/0`);
  await eventually('it is published', async () => {
    const { status } = await call('GET', published(1));
    return status === 200;
  });
  await call('DELETE', path);
  return {
    async askAll(): Promise<void> {
      await call('GET', all);
      await call('POST', all);
      await call('DELETE', path);
      await call('POST', `${path}/rotate`);
      await call('GET', published(2));
    },
  };
}
