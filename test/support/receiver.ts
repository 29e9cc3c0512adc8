import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request that arrived. */
export interface Arrival {
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A real HTTP receiver on loopback that remembers what arrives. */
export interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly arrivals: Arrival[];
  /** Resolves once so many have arrived in all. */
  arrived(count: number, timeoutMs?: number): Promise<readonly Arrival[]>;
}

/** `answer` writes the response; 200 with no body when left out. */
export async function startReceiver(
  answer: (res: ServerResponse, arrival: Arrival) => void = (res) => res.end(),
  options: { port?: number; host?: string } = {},
): Promise<Receiver> {
  const arrivals: Arrival[] = [];
  let waiting: (() => void)[] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const arrival = {
        atMs: Date.now(),
        method: req.method ?? '',
        path: req.url ?? '',
        headers: req.headers,
        body: Buffer.concat(chunks).toString(),
      };
      arrivals.push(arrival);
      for (const check of waiting) check();
      answer(res, arrival);
    });
  });
  const { port = 0, host = '127.0.0.1' } = options;
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://${host}:${bound}`,
    port: bound,
    arrivals,
    arrived(count, timeoutMs = 20_000) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting = waiting.filter((other) => other !== check);
          reject(new Error(`${arrivals.length} of ${count} arrived within ${timeoutMs} ms`));
        }, timeoutMs);
        function check(): void {
          if (arrivals.length < count) return;
          clearTimeout(timer);
          waiting = waiting.filter((other) => other !== check);
          resolve(arrivals);
        }
        waiting.push(check);
        check();
      });
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
