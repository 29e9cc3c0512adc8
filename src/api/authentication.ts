import type { FastifyInstance } from 'fastify';
import { BelfryError } from '../core/errors.ts';
import { hasScope, type Need, type Principal } from '../core/principal.ts';
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
  server.addHook('onRequest', (req, _reply, done) => {
    const scope = req.routeOptions.config.operation?.scope ?? null;
    if (scope === null) return done();
    const { authorization, host, origin } = req.headers;
    const address = req.socket.remoteAddress ?? '';
    const credentials = { authorization, host, origin, address };
    const goOn = (principal: Principal) => {
      req.principal = principal;
      done(hasScope(principal, scope) ? undefined : forbidden(scope));
    };
    // A promise and its turn would cost every request what only some need.
    const principal = authenticator.atOnce(credentials);
    if (principal === undefined) authenticator.authenticate(credentials).then(goOn, done);
    else goOn(principal);
  });
}

function forbidden(scope: Need): BelfryError {
  return new BelfryError('forbidden', `this needs a token with the scope ${scope}`);
}
