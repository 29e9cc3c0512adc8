import Fastify from 'fastify';
import { Agent, request } from 'undici';
import { serveParent } from '../harness/child.ts';
import { attemptHeaders } from './attemptHeaders.ts';
import { portOf } from '../harness/port.ts';
import { createWallClock } from '../harness/wallClock.ts';

/**
 * The floor of lateness: timers in a binary heap in memory, one armed timeout, undici. It gets its
 * due times as a list, or over HTTP through a bare Fastify when the creating itself is part of the
 * load. It forgets everything when it dies, checks nothing and records nothing.
 */
const CONNECTIONS = 128;

interface Entry {
  readonly dueMs: number;
  readonly url: string;
}

const clock = createWallClock();
const agent = new Agent({ connections: CONNECTIONS, pipelining: 1 });
const heap: Entry[] = [];
let armedForMs = Infinity;
let timeout: NodeJS.Timeout | undefined;
let lastId = 0;

function add(entry: Entry): void {
  push(entry);
  if (entry.dueMs < armedForMs) arm();
}

function arm(): void {
  clearTimeout(timeout);
  armedForMs = heap[0]?.dueMs ?? Infinity;
  if (armedForMs === Infinity) return;
  timeout = setTimeout(fireDue, Math.max(0, Math.ceil(armedForMs - clock.nowMs())));
}

/** `setTimeout` may come up to 0.9 ms early: what is not due yet stays, and is armed again. */
function fireDue(): void {
  const nowMs = clock.nowMs();
  for (let first = heap[0]; first !== undefined && first.dueMs <= nowMs; first = heap[0]) {
    pop();
    void fire(first);
  }
  arm();
}

async function fire({ url }: Entry): Promise<void> {
  const { body } = await request(url, {
    method: 'POST',
    headers: attemptHeaders,
    dispatcher: agent,
  });
  await body.dump();
}

function push(entry: Entry): void {
  let at = heap.length;
  heap.push(entry);
  while (at > 0) {
    const above = (at - 1) >> 1;
    const parent = heap[above];
    if (parent === undefined || parent.dueMs <= entry.dueMs) break;
    heap[at] = parent;
    at = above;
  }
  heap[at] = entry;
}

function pop(): void {
  const moved = heap.pop();
  if (moved === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    const left = heap[2 * at + 1];
    const right = heap[2 * at + 2];
    const rightFirst = right !== undefined && left !== undefined && right.dueMs < left.dueMs;
    const child = rightFirst ? right : left;
    if (child === undefined || child.dueMs >= moved.dueMs) break;
    heap[at] = child;
    at = 2 * at + (rightFirst ? 2 : 1);
  }
  heap[at] = moved;
}

const app = Fastify();

app.post<{ Body: { url: string; due_at: string } }>('/timers', async (req, reply) => {
  const id = ++lastId;
  const { url, due_at } = req.body;
  const dueMs = Date.parse(due_at);
  add({ dueMs, url: `${url}/${id}` });
  reply.code(201).header('location', `/timers/${id}`);
  return { id, time_left: (dueMs - Date.now()) / 1000, status: 'pending', url, due_at };
});

const handlers = {
  /** Accepts timers on 127.0.0.1; returns the port. */
  listen: async (): Promise<number> => {
    await app.listen({ port: 0, host: '127.0.0.1' });
    return portOf(app.server);
  },
  anchor: (): void => clock.anchor(),
  add: (input: { sinkPort: number; dueMs: readonly number[] }): void => {
    clock.anchor();
    for (const dueMs of input.dueMs) {
      add({ dueMs, url: `http://127.0.0.1:${input.sinkPort}/due/${dueMs}/${++lastId}` });
    }
  },
};

export type BareHeapHandlers = typeof handlers;

serveParent(handlers);
