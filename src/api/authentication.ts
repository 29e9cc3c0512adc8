import type { FastifyInstance } from 'fastify';
import { BelfryError } from '../core/errors.ts';
import { hasScope, type Principal } from '../core/principal.ts';
import type { Authenticator } from './authenticator.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks. Only of routes that want a scope. */
    principal: Principal;
  }
}

/** Before anything of a request is read: who asks, and whether they may ask for that. */
export function authenticateRequests(server: FastifyInstance, authenticator: Authenticator): void {
  server.decorateRequest('principal');
  server.addHook('onRequest', async (req) => {
    const scope = req.routeOptions.config.operation?.scope ?? null;
    if (scope === null) return;
    const { authorization, host, origin } = req.headers;
    const address = req.socket.remoteAddress ?? '';
    req.principal = await authenticator.authenticate({ authorization, host, origin, address });
    if (!hasScope(req.principal, scope)) {
      throw new BelfryError('forbidden', `this needs a token with the scope ${scope}`);
    }
  });
}
