import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createConnector } from '../../src/delivery/connector.ts';
import { createHttpClient, type HttpResult } from '../../src/delivery/httpClient.ts';
import { allowing } from '../unit/fakes/client.ts';

/** What calling so many slow receivers at once came to. */
export interface SlowReceivers {
  readonly results: readonly HttpResult[];
  /** From the sending to the last result, and to the last connection that was free again. */
  readonly resultMsMax: number;
  readonly freeMsMax: number;
  /** How much the resident memory of this process grew, at the most. */
  readonly grownBytesMax: number;
}

/**
 * Each receiver is an address of its own on loopback: a destination with a pool of its own, which is
 * called once a round.
 */
export async function callSlowReceivers(options: {
  count: number;
  timeoutMs: number;
  rounds?: number;
}): Promise<SlowReceivers> {
  const { count, timeoutMs, rounds = 1 } = options;
  const path = fileURLToPath(new URL('slowReceiver.ts', import.meta.url));
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = (await once(child.stdout, 'data')).map(Number);
  const http = createHttpClient({
    connect: createConnector({
      guard: allowing('127.0.0.0/8'),
      egressProxy: undefined,
      nameServers: undefined,
      connectTimeoutMs: timeoutMs,
      monotonicMs: () => performance.now(),
    }),
    allowRedirects: false,
  });

  async function call(n: number, deadlineMs: number) {
    const began = performance.now();
    const freed = Promise.withResolvers<void>();
    const request = {
      origin: `http://127.1.${n >> 8}.${n & 255}:${port}`,
      path: '/x/7',
      method: 'POST',
      headers: ['webhook-id', 'a_7'],
      body: null,
      timeoutMs: deadlineMs,
      mayWrite: () => true,
      changeOrigin: (_origin: string, start: () => void) => start(),
    } as const;
    const mutable = { ...request, headers: [...request.headers] };
    const result = await new Promise<HttpResult>((resolve) =>
      http.send(mutable, resolve, freed.resolve),
    );
    const resultMs = performance.now() - began;
    await freed.promise;
    return { result, resultMs, freeMs: performance.now() - began };
  }

  const all = (deadlineMs: number, several: number) =>
    Promise.all(Array.from({ length: several }, (_, n) => call(n, deadlineMs)));
  try {
    // What is loaded and compiled once is not what each receiver costs.
    await all(300, 20);
    globalThis.gc?.();
    const before = process.memoryUsage.rss();
    let most = before;
    const watch = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 50);
    const calls = [];
    for (let round = 0; round < rounds; round += 1) {
      calls.push(...(await all(timeoutMs, count)));
    }
    clearInterval(watch);
    return {
      results: calls.map(({ result }) => result),
      resultMsMax: Math.max(...calls.map(({ resultMs }) => resultMs)),
      freeMsMax: Math.max(...calls.map(({ freeMs }) => freeMs)),
      grownBytesMax: most - before,
    };
  } finally {
    await http.close();
    child.kill('SIGKILL');
    await once(child, 'close');
  }
}
