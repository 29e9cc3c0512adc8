import type { FastifyInstance } from 'fastify';
import { ReadyBody, type Readiness } from '../schemas.ts';

/** What the routes for operators and their probes need. */
export interface Operations {
  ready(): Promise<Readiness>;
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
}

export function operationRoutes(server: FastifyInstance, operations: Operations): void {
  // The process lives and its event loop turns; says nothing about the database.
  server.get('/health', () => ({ status: 'ok' }));

  server.get(
    '/ready',
    { schema: { response: { 200: ReadyBody, 503: ReadyBody } } },
    async (_req, reply) => {
      const readiness = await operations.ready();
      reply.code(readiness.ready ? 200 : 503);
      return readiness;
    },
  );

  server.get('/metrics', async (_req, reply) => {
    const { contentType, text } = await operations.metrics();
    return reply.type(contentType).send(text);
  });
}
