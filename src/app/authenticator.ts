import { createAuthenticator } from '../api/authenticator.ts';
import type { Config } from '../config.ts';

type Options = Parameters<typeof createAuthenticator>[0];

/** Asks for tokens as `AUTH` says: `auto` does not on loopback, as long as there are none. */
export function openAuthenticator(options: {
  config: Config['api'];
  tokens: Pick<Options['store'], 'prove'>;
  isInitialised: Options['store']['isInitialised'];
  limits: Options['store']['limits'];
  clock: Options['clock'];
}) {
  const { config, tokens, isInitialised, limits, clock } = options;
  const { auth, isLoopback } = config;
  return createAuthenticator({
    mode: auth === 'auto' && !isLoopback ? 'on' : auth,
    store: { prove: tokens.prove, isInitialised, limits },
    clock,
  });
}
