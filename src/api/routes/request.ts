import type { FastifyRequest } from 'fastify';
import type { Actor } from '../../core/audit.ts';

/** Who asks, as the audit log names them. */
export function actorOf({ principal, socket }: FastifyRequest): Actor {
  const { kind, id, name } = principal;
  return { kind, id, name, address: socket.remoteAddress ?? '' };
}

/** A header that is to be given once; several of a name count as one with commas. */
export function headerOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}

/** A body that is left out says nothing: it stands for an empty one. */
export function optionalBody(req: FastifyRequest, _reply: unknown, done: () => void): void {
  req.body ??= {};
  done();
}
