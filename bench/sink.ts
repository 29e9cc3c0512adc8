import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { serveParent } from './harness/child.ts';
import { portOf } from './harness/port.ts';
import { createMessageReader } from './harness/httpMessage.ts';
import { createLatencyRecorder, type Quantiles } from './harness/latency.ts';
import { createWallClock } from './harness/wallClock.ts';

/** What reached the receiver since the last `reset`. Times are epoch ms with a fraction. */
export interface Arrivals {
  readonly arrivals: number;
  /** Different ids. Less than asked for when the deadline came first. */
  readonly distinct: number;
  readonly firstMs: number;
  /** The last arrival of an id not seen before. */
  readonly lastMs: number;
  /** Over the arrivals on `/due/<epoch ms>/<id>`. An early one counts as 0 here and in `early`. */
  readonly lateness: Quantiles;
  readonly early: number;
  /** The largest lead of an early arrival, ms. */
  readonly earliestMs: number;
}

const OK = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');

const clock = createWallClock();
const lateness = createLatencyRecorder();
const seen = new Set<string>();
let arrivals = 0;
let firstMs = 0;
let lastMs = 0;
let early = 0;
let earliestMs = 0;
let wanted = Infinity;
let onWanted: (() => void) | undefined;

/**
 * `http`: Node's own server, as a receiver would be. `raw`: the least that answers on a socket, for
 * the strictest comparison, because what the sink takes is missing to both sides.
 */
export type SinkKind = 'http' | 'raw';

const servers = {
  http: () =>
    createHttpServer({ keepAliveTimeout: 60_000 }, (req, res) => {
      arrive(req.url ?? '');
      req.resume();
      res.writeHead(200, { 'content-length': 0 }).end();
    }),
  raw: () =>
    createTcpServer({ noDelay: true }, (socket) => {
      socket.on('error', () => socket.destroy());
      const read = createMessageReader((head) => {
        arrive(head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/1.1\r\n')));
        socket.write(OK);
      });
      socket.on('data', read);
    }),
};

/** `/due/<epoch ms>/<id>`, or `/any/<id>` where no due time is known. */
function arrive(path: string): void {
  const nowMs = clock.nowMs();
  arrivals += 1;
  if (arrivals === 1) firstMs = nowMs;
  const idAt = path.lastIndexOf('/') + 1;
  if (path.startsWith('/due/')) {
    const lateMs = nowMs - Number(path.slice(5, idAt - 1));
    lateness.record(lateMs);
    if (lateMs < 0) {
      early += 1;
      earliestMs = Math.max(earliestMs, -lateMs);
    }
  }
  const id = path.slice(idAt);
  if (seen.has(id)) return;
  seen.add(id);
  lastMs = nowMs;
  if (seen.size >= wanted) onWanted?.();
}

function report(): Arrivals {
  const { size: distinct } = seen;
  const quantiles = lateness.quantiles();
  return { arrivals, distinct, firstMs, lastMs, lateness: quantiles, early, earliestMs };
}

const handlers = {
  /** Listens on 127.0.0.1; returns the port. */
  listen: async (kind: SinkKind): Promise<number> => {
    const server = servers[kind]();
    server.listen(0, '127.0.0.1', 4096);
    await once(server, 'listening');
    return portOf(server);
  },
  /** Listens on 127.0.0.1, takes connections and requests, and never answers; returns the port. */
  listenSilently: async (): Promise<number> => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.resume();
    });
    server.listen(0, '127.0.0.1', 4096);
    await once(server, 'listening');
    return portOf(server);
  },
  reset: (): void => {
    seen.clear();
    lateness.reset();
    arrivals = firstMs = lastMs = early = earliestMs = 0;
    wanted = Infinity;
    clock.anchor();
  },
  report,
  /** Answers when `distinct` ids have arrived, or at the deadline with what there is. */
  waitFor: async (input: { distinct: number; deadlineMs: number }): Promise<Arrivals> => {
    if (seen.size < input.distinct) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timeout = setTimeout(resolve, input.deadlineMs);
      wanted = input.distinct;
      onWanted = resolve;
      await promise;
      clearTimeout(timeout);
    }
    return report();
  },
};

export type SinkHandlers = typeof handlers;

serveParent(handlers);
