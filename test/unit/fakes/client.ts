import assert from 'node:assert/strict';
import type { ResponseSample } from '../../../src/core/attempt.ts';
import type { EgressProxy } from '../../../src/core/egressSettings.ts';
import { targetList } from '../../../src/core/settingParsers.ts';
import {
  createAddressGuard,
  type AddressGuard,
  type TargetPolicy,
} from '../../../src/delivery/addressGuard.ts';
import { createConnector } from '../../../src/delivery/connector.ts';
import {
  createHttpClient,
  type HttpRequest,
  type HttpResult,
} from '../../../src/delivery/httpClient.ts';
import type { Connector } from '../../../src/delivery/tlsConnector.ts';
import { settled } from './time.ts';

/** The operator's guard with these entries in ALLOW_TARGETS, and what else is given. */
export function allowing(text: string, policy: Partial<TargetPolicy> = {}): AddressGuard {
  const allowTargets = targetList.parse(text);
  assert.ok(allowTargets !== undefined, `ALLOW_TARGETS takes ${text}`);
  return createAddressGuard({
    allowTargets,
    denyTargets: [],
    nat64Prefix: undefined,
    allowPorts: undefined,
    httpsOnly: false,
    appDomain: undefined,
    ...policy,
  });
}

interface ConnectorOptions {
  guard?: AddressGuard;
  nameServer?: string;
  egressProxy?: EgressProxy;
  connectTimeoutMs?: number;
}

/** Connects as the service does, by the name servers given (or the machine's). */
export function connector(options: ConnectorOptions = {}): Connector {
  const { guard = allowing('127.0.0.0/8'), nameServer, connectTimeoutMs = 10_000 } = options;
  return createConnector({
    guard,
    egressProxy: options.egressProxy,
    nameServers: nameServer === undefined ? undefined : [nameServer],
    connectTimeoutMs,
    monotonicMs: () => performance.now(),
  });
}

/**
 * A client whose `send` is a promise that resolves when the connection is free again, with the result
 * but for what is kept of the response and the detail for the log: `kept` and `detail` have those of
 * the last one.
 */
export function client(options: ConnectorOptions & { allowRedirects?: boolean } = {}) {
  const http = createHttpClient({
    connect: connector(options),
    allowRedirects: options.allowRedirects ?? false,
  });
  let kept: ResponseSample | undefined;
  let detail: string | undefined;
  return {
    kept: () => kept,
    detail: () => detail,
    origins: http.origins,
    async send(origin: string, over: Partial<HttpRequest> = {}) {
      const freed = Promise.withResolvers<void>();
      let results = 0;
      const result = await new Promise<HttpResult>((resolve) =>
        http.send(
          {
            origin,
            path: '/x/7',
            method: 'POST',
            headers: ['webhook-id', 'a_7'],
            body: null,
            // Long where it should not matter: a test that needs it to end says so.
            timeoutMs: 20_000,
            mayWrite: () => true,
            changeOrigin: (_origin, start) => start(),
            ...over,
          },
          (value) => {
            results += 1;
            resolve(value);
          },
          freed.resolve,
        ),
      );
      await freed.promise;
      // The client counts its connection as free at the end of this turn.
      await settled();
      assert.equal(results, 1, 'one result');
      detail = result.kind === 'error' ? result.detail : undefined;
      if (result.kind === 'error') return { kind: result.kind, errorCode: result.errorCode };
      if (result.kind === 'not_written') return result;
      const { response, ...verdict } = result;
      kept = response;
      return verdict;
    },
    [Symbol.asyncDispose]: () => http.close(),
  };
}

export const success: HttpResult = { kind: 'response', status: 200, errorCode: null };
export const failed = (errorCode: string) => ({ kind: 'error', errorCode });
