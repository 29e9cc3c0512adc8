import type { FastifyInstance } from 'fastify';
import { BelfryError } from '../core/errors.ts';
import { hasScope, type Need, type Principal } from '../core/principal.ts';
import type { Authenticator } from './authenticator.ts';
import { showFailures } from './failureLimit.ts';
import { rateExceeded, showRates, type RateKeeper } from './rateLimit.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks. Only of routes that want a scope. */
    principal: Principal;
  }
}

/**
 * Before anything of a request is read: who asks, whether not too often, and whether they may ask for
 * that. What is refused for its scope counts as a request; what is refused for its rate does not.
 * Routes of operators are not counted for them: a rate must not lock out who can lift it.
 */
export function authenticateRequests(
  server: FastifyInstance,
  authenticator: Authenticator,
  keeper: RateKeeper,
): void {
  server.decorateRequest('principal');
  server.addHook('onRequest', (req, reply, done) => {
    const scope = req.routeOptions.config.operation?.scope ?? null;
    if (scope === null) return done();
    const { authorization, host, origin } = req.headers;
    const address = req.socket.remoteAddress ?? '';
    const credentials = { authorization, host, origin, address };
    const goOn = (principal: Principal) => {
      req.principal = principal;
      const { rates } = principal;
      const isAllowed = hasScope(principal, scope);
      if (rates === undefined || (scope === 'operator' && isAllowed)) {
        return done(isAllowed ? undefined : forbidden(scope));
      }
      const judge = (isTaken: boolean) => {
        showRates(reply, keeper, rates);
        if (!isTaken) return done(rateExceeded(keeper, rates));
        done(isAllowed ? undefined : forbidden(scope));
      };
      const taken = keeper.take(rates);
      if (typeof taken === 'boolean') judge(taken);
      else taken.then(judge, done);
    };
    // A promise and its turn would cost every request what only some need.
    const principal = authenticator.atOnce(credentials);
    if (principal === undefined) {
      authenticator.authenticate(credentials).then(goOn, (err: Error) => {
        if (err instanceof BelfryError) showFailures(reply, err);
        authenticator.paceRefusal(address, () => done(err));
      });
    } else goOn(principal);
  });
}

function forbidden(scope: Need): BelfryError {
  return new BelfryError('forbidden', `this needs a token with the scope ${scope}`);
}
