import { performance } from 'node:perf_hooks';
import { Pool } from 'undici';
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
  /** Shown with every request. */
  readonly token?: string;
  /** Of this side: of `raw` connections. */
  readonly localAddress?: string;
  /** `full`: with about everything that a timer can be told, 330 bytes more. Default: `plain`. */
  readonly fields?: 'plain' | 'full';
}

/** Creates timers that wait for an hour by `POST /timers/batch`, as lines, a request at a time each. */
export interface BatchLoad {
  readonly port: number;
  readonly connections: number;
  readonly requests: number;
  readonly timersEach: number;
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

const HOUR_MS = 3_600_000;
const FULL_FIELDS = `,${JSON.stringify({
  method: 'PUT',
  headers: { 'content-type': 'application/json', 'x-tenant': 'shop-17' },
  body: '{"cart":42,"items":[1,2,3]}',
  append_id: false,
  timeout: 10,
  retry: { max_attempts: 8, base: 2, factor: 3, cap: 'PT1H', jitter: 0.1 },
  expires_after: 'PT1H',
  labels: ['cart-42', 'reminder'],
  metadata: { customer: 17, plan: 'gold' },
}).slice(1, -1)}`;

const clock = createWallClock();

async function create(load: CreateLoad): Promise<Created> {
  clock.anchor();
  const latency = createLatencyRecorder();
  const refused: Record<string, number> = {};
  let created = 0;
  const { promise: finished, resolve, reject } = Promise.withResolvers<void>();
  const connections = await Promise.all(
    Array.from({ length: load.connections }, () =>
      openConnection({
        client: load.client,
        port: load.port,
        token: load.token,
        localAddress: load.localAddress,
        onError: reject,
      }),
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

async function createBatches(load: BatchLoad): Promise<void> {
  const { port, connections, requests, timersEach } = load;
  clock.anchor();
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections });
  const fields = {
    due: { kind: 'ahead', fromMs: HOUR_MS, toMs: 2 * HOUR_MS },
    sinkPort: 9,
  } as const;
  let left = requests;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      const body = Array.from({ length: timersEach }, () => `${timerBody(fields)}\n`).join('');
      const answer = await pool.request({
        path: '/timers/batch',
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body,
      });
      const text = await answer.body.text();
      const made = text.split('"status":201').length - 1;
      if (made !== timersEach) throw new Error(`${made} of ${timersEach}: ${text.slice(0, 300)}`);
    }
  };
  await Promise.all(Array.from({ length: connections }, lane));
  await pool.close();
}

function timerBody({
  sinkPort,
  due,
  fields,
}: Pick<CreateLoad, 'sinkPort' | 'due' | 'fields'>): string {
  const baseMs = due.kind === 'ahead' ? clock.nowMs() : 0;
  const dueMs = Math.floor(baseMs + due.fromMs + Math.random() * (due.toMs - due.fromMs));
  const url = `http://127.0.0.1:${sinkPort}/due/${dueMs}`;
  const more = fields === 'full' ? FULL_FIELDS : '';
  return `{"url":"${url}","due_at":"${new Date(dueMs).toISOString()}"${more}}`;
}

const handlers = { create, createBatches };

export type DriverHandlers = typeof handlers;

serveParent(handlers);
