import { performance } from 'node:perf_hooks';
import { serveParent } from './harness/child.ts';
import { openConnection, type Client, type Connection } from './harness/connection.ts';
import { createLatencyRecorder, type Quantiles } from './harness/latency.ts';
import { createWallClock } from './harness/wallClock.ts';

/** Creates timers over HTTP as a client would, on keep-alive connections, one request at a time each. */
export interface CreateLoad {
  readonly port: number;
  readonly sinkPort: number;
  readonly client: Client;
  readonly connections: number;
  readonly pace: Pace;
  readonly due: Due;
}

/**
 * `closed`: each connection sends its next request when the last is answered, for a time or a count.
 * `open`: requests fall due at a fixed rate whether or not the service keeps up; latency counts from
 * when a request was due to be sent, so a stall is not left out (coordinated omission).
 */
export type Pace =
  | { readonly kind: 'closedFor'; readonly durationMs: number }
  | { readonly kind: 'closedCount'; readonly count: number }
  | { readonly kind: 'open'; readonly perSecond: number; readonly durationMs: number };

/** Epoch ms, or ms ahead of the request; drawn at random from the range. */
export type Due =
  | { readonly kind: 'between'; readonly fromMs: number; readonly toMs: number }
  | { readonly kind: 'ahead'; readonly fromMs: number; readonly toMs: number };

export interface Created {
  readonly created: number;
  /** Answers other than 201, by status. */
  readonly refused: Readonly<Record<string, number>>;
  readonly perSecond: number;
  readonly latency: Quantiles;
}

const clock = createWallClock();

async function create(load: CreateLoad): Promise<Created> {
  clock.anchor();
  const latency = createLatencyRecorder();
  const refused: Record<string, number> = {};
  let created = 0;
  const { promise: finished, resolve, reject } = Promise.withResolvers<void>();
  const connections = await Promise.all(
    Array.from({ length: load.connections }, () =>
      openConnection({ client: load.client, port: load.port, onError: reject }),
    ),
  );
  const startMs = performance.now();

  const send = (connection: Connection, sentMs: number, next: () => void) => {
    connection.post(timerBody(load), (status) => {
      latency.record(performance.now() - sentMs);
      if (status === '201') created += 1;
      else refused[status] = (refused[status] ?? 0) + 1;
      next();
    });
  };
  const pacer = load.pace.kind === 'open' ? openLoop : closedLoop;
  pacer({ connections, pace: load.pace, startMs, send, done: resolve });
  try {
    await finished;
  } finally {
    for (const connection of connections) connection.close();
  }
  const seconds = (performance.now() - startMs) / 1000;
  return { created, refused, perSecond: created / seconds, latency: latency.quantiles() };
}

interface Loop {
  readonly connections: readonly Connection[];
  readonly pace: Pace;
  readonly startMs: number;
  readonly send: (connection: Connection, sentMs: number, next: () => void) => void;
  readonly done: () => void;
}

function closedLoop({ connections, pace, startMs, send, done }: Loop): void {
  const count = pace.kind === 'closedCount' ? pace.count : Infinity;
  const endMs = pace.kind === 'closedFor' ? startMs + pace.durationMs : Infinity;
  let sent = 0;
  let active = connections.length;
  const next = (connection: Connection) => {
    const nowMs = performance.now();
    if (sent >= count || nowMs >= endMs) {
      active -= 1;
      if (active === 0) done();
      return;
    }
    sent += 1;
    send(connection, nowMs, () => next(connection));
  };
  for (const connection of connections) next(connection);
}

/** Ticks every ms and sends what has fallen due by then on whichever connections are free. */
function openLoop({ connections, pace, startMs, send, done }: Loop): void {
  if (pace.kind !== 'open') throw new Error('openLoop needs a rate');
  const total = Math.round((pace.perSecond * pace.durationMs) / 1000);
  const free = [...connections];
  let sent = 0;
  let answered = 0;
  const pump = () => {
    const dueCount = Math.min(total, ((performance.now() - startMs) * pace.perSecond) / 1000);
    while (sent < dueCount) {
      const connection = free.pop();
      if (connection === undefined) return;
      const intendedMs = startMs + (sent / pace.perSecond) * 1000;
      sent += 1;
      send(connection, intendedMs, () => {
        answered += 1;
        free.push(connection);
        if (answered === total) {
          clearInterval(ticker);
          done();
        } else pump();
      });
    }
  };
  const ticker = setInterval(pump, 1);
}

function timerBody({ sinkPort, due }: CreateLoad): string {
  const baseMs = due.kind === 'ahead' ? clock.nowMs() : 0;
  const dueMs = Math.floor(baseMs + due.fromMs + Math.random() * (due.toMs - due.fromMs));
  const url = `http://127.0.0.1:${sinkPort}/due/${dueMs}`;
  return `{"url":"${url}","due_at":"${new Date(dueMs).toISOString()}"}`;
}

const handlers = { create };

export type DriverHandlers = typeof handlers;

serveParent(handlers);
