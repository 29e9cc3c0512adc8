import type { EgressProxy } from '../core/egressSettings.ts';
import type { AddressGuard } from './addressGuard.ts';
import { createGuardedConnector } from './guardedConnector.ts';
import { createNameLookup } from './nameLookup.ts';
import { createProxyConnector } from './proxyConnector.ts';
import type { Connector } from './tlsConnector.ts';

/** The way out: straight to where the guard allows, or through the operator's proxy. */
export function createConnector(options: {
  guard: AddressGuard;
  /** Undefined for none. */
  egressProxy: EgressProxy | undefined;
  /** Undefined for those of the machine. */
  nameServers: readonly string[] | undefined;
  connectTimeoutMs: number;
  monotonicMs: () => number;
}): Connector {
  const { guard, egressProxy, nameServers, connectTimeoutMs, monotonicMs } = options;
  if (egressProxy !== undefined) {
    return createProxyConnector({ guard, proxy: egressProxy, connectTimeoutMs });
  }
  const names = createNameLookup({
    servers: nameServers,
    timeoutMs: connectTimeoutMs,
    monotonicMs,
  });
  return createGuardedConnector({ guard, names, connectTimeoutMs });
}
