import { answerJson } from './answerJson.ts';
import { checkTimeout, createSender, type CallOptions, type FetchFunction } from './sender.ts';
import { createAccessApi, type AccessApi } from './accessApi.ts';
import { createTimersApi, type TimersApi } from './timersApi.ts';
import type { Health, Readiness } from './responses.ts';

export interface ClientOptions {
  /** Where the service is, such as `http://127.0.0.1:5000`; a path in it is kept as a prefix. */
  readonly url: string | URL;
  /** Sent as `authorization: Bearer …`. */
  readonly token?: string;
  /** In place of the runtime's own. */
  readonly fetch?: FetchFunction;
  /** How often a call is repeated after the first time, where that can help. Default 4. */
  readonly retries?: number;
  /** Bound of each call in all, repetitions included, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
}

/** A Belfry service. Holds no connection and no timer of its own: there is nothing to close. */
export interface BelfryClient extends AccessApi {
  readonly timers: TimersApi;
  /** The process lives; says nothing about its database. */
  health(options?: CallOptions): Promise<Health>;
  /** Whether the service can work; resolves also when it cannot. */
  ready(options?: CallOptions): Promise<Readiness>;
}

const retriesDefault = 4;
const timeoutDefaultMs = 30_000;

/**
 * A client of the service at `url`.
 *
 * Every call may reject with `BelfryApiError` (the service answered with an error) or
 * `BelfryConnectionError` (no answer came). A call is repeated after 429, 503 and network errors,
 * with exponential waits that honour Retry-After, as long as that cannot do its work twice.
 * @throws TypeError when an option is not what it takes.
 */
export function createClient(options: ClientOptions): BelfryClient {
  const { token, fetch: own, retries = retriesDefault, timeoutMs = timeoutDefaultMs } = options;
  if (!Number.isInteger(retries) || retries < 0) {
    throw new TypeError('retries must be a whole number of 0 or more');
  }
  checkTimeout(timeoutMs);
  const sender = createSender({
    url: rootOf(options.url),
    token,
    // Looked up at each call, so that what replaces the global (tests, tracing) is seen.
    fetch: own ?? ((url, init) => globalThis.fetch(url, init)),
    retries,
    timeoutMs,
    nowMs: Date.now,
    random: Math.random,
    wait: waitFor,
  });

  return {
    timers: createTimersApi(sender),
    ...createAccessApi(sender),
    async health(callOptions) {
      const call = { method: 'GET', path: '/health', isRepeatable: true } as const;
      return answerJson<Health>(await sender.send(call, callOptions));
    },
    async ready(callOptions) {
      const call = { method: 'GET', path: '/ready', isRepeatable: true, alsoTakes: [503] } as const;
      return answerJson<Readiness>(await sender.send(call, callOptions));
    },
  };
}

function rootOf(given: string | URL): string {
  const url = new URL(given);
  if (!/^https?:$/.test(url.protocol)) throw new TypeError(`url must be http(s): ${url.protocol}`);
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
    if (signal.aborted) finish();
  });
}
