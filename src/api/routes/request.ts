import type { FastifyRequest } from 'fastify';

/** A header that is to be given once; several of a name count as one with commas. */
export function headerOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}

/** A body that is left out says nothing: it stands for an empty one. */
export function optionalBody(req: FastifyRequest, _reply: unknown, done: () => void): void {
  req.body ??= {};
  done();
}
