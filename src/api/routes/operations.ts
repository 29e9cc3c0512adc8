import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { described } from '../openapi/operation.ts';
import { HealthBody, ReadyBody, type Readiness } from '../schemas/operations.ts';

/** What the routes for operators and their probes need. */
export interface Operations {
  ready(): Promise<Readiness>;
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
}

export function operationRoutes(server: FastifyInstance, operations: Operations): void {
  server.get(
    '/health',
    described({
      operationId: 'getHealth',
      tag: 'operations',
      scope: null,
      summary: 'Whether the process lives',
      description: 'Its event loop turns; says nothing about the database.',
      answers: { 200: { description: 'It lives.', body: HealthBody } },
      problems: [],
    }),
    () => ({ status: 'ok' }),
  );

  server.get(
    '/ready',
    described({
      operationId: 'getReady',
      tag: 'operations',
      scope: null,
      summary: 'Whether it can do its work',
      description:
        'The store is reachable, the schema current, and where the scheduler runs its heartbeat is fresh and its loop moves.',
      answers: {
        200: { description: 'Every check is passed.', body: ReadyBody },
        503: { description: 'A check is not passed.', body: ReadyBody },
      },
      problems: [],
    }),
    async (_req, reply) => {
      const readiness = await operations.ready();
      reply.code(readiness.ready ? 200 : 503);
      return readiness;
    },
  );

  server.get(
    '/metrics',
    described({
      operationId: 'getMetrics',
      tag: 'operations',
      scope: 'operator',
      summary: 'Counters and the lateness histogram',
      answers: {
        200: {
          description: 'The text format of Prometheus.',
          content: { 'text/plain': Type.String() },
        },
      },
      problems: [],
    }),
    async (_req, reply) => {
      const { contentType, text } = await operations.metrics();
      return reply.type(contentType).send(text);
    },
  );
}
