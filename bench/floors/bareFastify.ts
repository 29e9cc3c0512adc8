import Fastify from 'fastify';
import { Client } from 'pg';
import { serveParent } from '../harness/child.ts';
import { portOf } from '../harness/port.ts';

/**
 * The floors of create: Fastify parses the same body and answers a timer of the same shape. Nothing
 * is checked. By default nothing is kept either; with `keepIn`, what has gathered is committed by one
 * insert, one after the other, before it is answered: the least that a durable create can be.
 */
const app = Fastify();
let nextId = 1;
let keep: ((row: Row) => Promise<void>) | undefined;

interface Row {
  readonly id: number;
  readonly dueAtMs: number;
  readonly url: string;
}

app.post<{ Body: { url: string; due_at: string } }>('/timers', async (req, reply) => {
  const id = nextId++;
  const { url, due_at } = req.body;
  const dueAtMs = Date.parse(due_at);
  if (keep !== undefined) await keep({ id, dueAtMs, url });
  const time_left = Math.max(0, (dueAtMs - Date.now()) / 1000);
  reply.code(201).header('location', `/timers/${id}`);
  return { id, time_left, status: 'pending', url, due_at };
});

const INSERT = {
  name: 'bare_insert',
  text: `
INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url)
SELECT id, 1, due_at, due_at, now(), url
FROM (SELECT id, to_timestamp(due_at_ms / 1000) AS due_at, url
  FROM unnest($1::bigint[], $2::float8[], $3::text[]) AS t(id, due_at_ms, url)) AS rows`,
};

function createKeeper(client: Client): (row: Row) => Promise<void> {
  let waiting: { row: Row; resolve: () => void }[] = [];
  let isFlushing = false;

  async function flush(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      const list = (of: (row: Row) => unknown) => `{${batch.map(({ row }) => of(row)).join(',')}}`;
      const values = [list(({ id }) => id), list(({ dueAtMs }) => dueAtMs), list(({ url }) => url)];
      await client.query({ ...INSERT, values });
      for (const { resolve } of batch) resolve();
    }
    isFlushing = false;
  }

  return (row) =>
    new Promise((resolve) => {
      waiting.push({ row, resolve });
      if (isFlushing) return;
      isFlushing = true;
      setImmediate(() => void flush());
    });
}

const handlers = {
  /** Listens on 127.0.0.1; returns the port. */
  listen: async (): Promise<number> => {
    await app.listen({ port: 0, host: '127.0.0.1' });
    return portOf(app.server);
  },
  /** Keeps timers in Belfry's own table there from now on, with ids far above Belfry's. */
  keepIn: async (databaseUrl: string): Promise<void> => {
    const client = new Client({ connectionString: databaseUrl });
    // It ends with the service that is measured.
    client.on('error', () => {});
    await client.connect();
    nextId = 2 ** 42;
    keep = createKeeper(client);
  },
};

export type BareFastifyHandlers = typeof handlers;

serveParent(handlers);
