import Fastify from 'fastify';
import { serveParent } from '../harness/child.ts';
import { portOf } from '../harness/port.ts';

/**
 * The floor of create: Fastify parses the same body and answers a timer of the same shape, and
 * nothing is checked or kept.
 */
const app = Fastify();
let lastId = 0;

app.post<{ Body: { url: string; due_at: string } }>('/timers', async (req, reply) => {
  const id = ++lastId;
  const { url, due_at } = req.body;
  const time_left = Math.max(0, (Date.parse(due_at) - Date.now()) / 1000);
  reply.code(201).header('location', `/timers/${id}`);
  return { id, time_left, status: 'pending', url, due_at };
});

const handlers = {
  /** Listens on 127.0.0.1; returns the port. */
  listen: async (): Promise<number> => {
    await app.listen({ port: 0, host: '127.0.0.1' });
    return portOf(app.server);
  },
};

export type BareFastifyHandlers = typeof handlers;

serveParent(handlers);
