import assert from 'node:assert/strict';
import type { ResponseSample } from '../../../src/core/attempt.ts';
import { targetList } from '../../../src/core/settingParsers.ts';
import { createAddressGuard, type AddressGuard } from '../../../src/delivery/addressGuard.ts';
import {
  createHttpClient,
  type HttpRequest,
  type HttpResult,
} from '../../../src/delivery/httpClient.ts';
import { settled } from './time.ts';

/** The operator's guard with these entries in ALLOW_TARGETS. */
export function allowing(text: string): AddressGuard {
  const allowTargets = targetList.parse(text);
  assert.ok(allowTargets !== undefined);
  return createAddressGuard({ allowTargets, appDomain: undefined });
}

/**
 * A client whose `send` is a promise that resolves when the connection is free again, with the result
 * but for what is kept of the response: `kept` has that of the last one.
 */
export function client(options: { guard?: AddressGuard; allowRedirects?: boolean } = {}) {
  const http = createHttpClient({
    guard: options.guard ?? allowing('127.0.0.0/8'),
    connectionsPerOrigin: 2,
    connectTimeoutMs: 10_000,
    allowRedirects: options.allowRedirects ?? false,
  });
  let kept: ResponseSample | undefined;
  return {
    kept: () => kept,
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
      if (result.kind !== 'response') return result;
      const { response, ...verdict } = result;
      kept = response;
      return verdict;
    },
    [Symbol.asyncDispose]: () => http.close(),
  };
}

export const success: HttpResult = { kind: 'response', status: 200, errorCode: null };
export const failed = (errorCode: string) => ({ kind: 'error', errorCode });
