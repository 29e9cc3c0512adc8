import { isIP } from 'node:net';
import { BelfryError } from '../core/errors.ts';

/** What a browser says about who sends a request. */
export interface RequestOrigin {
  readonly host: string | undefined;
  readonly origin: string | undefined;
}

/**
 * Where nobody is asked for a token, a page in somebody's browser must not be able to ask either:
 * neither from its own origin (`Origin`), nor under a name of its own that leads to this machine
 * (`Host`, DNS rebinding).
 * @throws BelfryError `origin_not_allowed`.
 */
export function assertLocal({ host, origin }: RequestOrigin): void {
  if (host !== undefined && !isKnownLocal(`http://${host}`)) {
    throw notAllowed(`Host "${host.slice(0, 100)}"`);
  }
  if (origin !== undefined && !isKnownLocal(origin)) {
    throw notAllowed(`Origin "${origin.slice(0, 100)}"`);
  }
}

function notAllowed(what: string): BelfryError {
  return new BelfryError(
    'origin_not_allowed',
    `${what} is not this machine: as long as no token is asked for, only loopback names are taken`,
  );
}

/** Whether `assertLocal` would let it pass. What was told once is remembered. */
export function isLocalRequest({ host, origin }: RequestOrigin): boolean {
  return (
    (host === undefined || isKnownLocal(`http://${host}`)) &&
    (origin === undefined || isKnownLocal(origin))
  );
}

const localOrigins = new Set<string>();
const rememberedMax = 100;

function isKnownLocal(origin: string): boolean {
  if (localOrigins.has(origin)) return true;
  const isOne = isLocal(origin);
  if (isOne && localOrigins.size < rememberedMax) localOrigins.add(origin);
  return isOne;
}

function isLocal(origin: string): boolean {
  const { hostname } = URL.parse(origin) ?? { hostname: '' };
  if (hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]')
    return true;
  return isIP(hostname) === 4 && hostname.startsWith('127.');
}
