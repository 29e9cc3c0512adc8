import type { Config } from '../config.ts';
import type { AddressGuard } from '../delivery/addressGuard.ts';
import { createConnector } from '../delivery/connector.ts';
import { createDeliverer, type Deliverer } from '../delivery/deliverer.ts';
import { createDestinations } from '../delivery/destinations.ts';
import { createHttpClient } from '../delivery/httpClient.ts';

const connectTimeoutMaxMs = 10_000;

/** What makes attempts: from the judged connection up to the outcome. */
export function createDelivery(options: {
  config: Config['delivery'];
  guard: AddressGuard;
  /** The database's clock, at most. */
  nowMs: () => number;
  monotonicMs: () => number;
  installationId: string;
}): Deliverer & { close(): Promise<void> } {
  const { config, guard, nowMs, monotonicMs, installationId } = options;
  const http = createHttpClient({
    connect: createConnector({
      ...config,
      guard,
      connectTimeoutMs: Math.min(config.timeoutMs, connectTimeoutMaxMs),
      monotonicMs,
    }),
    allowRedirects: config.allowRedirects,
  });
  const deliverer = createDeliverer({
    http,
    destinations: createDestinations({
      perDestination: config.destinationConcurrency,
      total: config.concurrency,
      monotonicMs,
    }),
    nowMs,
    monotonicMs,
    installationId,
    timeoutDefaultMs: config.timeoutMs,
  });
  return { ...deliverer, close: () => http.close() };
}
