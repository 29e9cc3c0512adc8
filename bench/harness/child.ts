import { fork } from 'node:child_process';
import { once } from 'node:events';
import { undoAtExit } from './cleanup.ts';

/** What a child process offers: plain functions of at most one structured-clonable argument. */
export type Handlers = Record<string, (input: never) => unknown>;

export interface Child<H extends Handlers> extends AsyncDisposable {
  readonly pid: number;
  /** Throws: Error when the handler threw, or the child died before it answered. */
  call<M extends keyof H & string>(
    method: M,
    ...input: Parameters<H[M]>
  ): Promise<Awaited<ReturnType<H[M]>>>;
}

interface Request {
  readonly call: number;
  readonly method: string;
  readonly input: unknown;
}

type Reply =
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly error: string };

/**
 * Starts a bench process: every load generator, sink and floor has its own, so that its CPU can be
 * told apart and none of them waits behind another's event loop. Each has a session of its own as well,
 * as have PostgreSQL's backends: Linux may divide a busy core by sessions (sched_autogroup, sched(7)), and
 * receiver and service would have had one share between them. V8 has one thread to help it and not four, as
 * in the service. The channel carries a few messages a phase, never one a timer.
 */
export async function startChild<H extends Handlers>(file: URL): Promise<Child<H>> {
  const child = fork(file, {
    serialization: 'advanced',
    detached: true,
    execArgv: ['--v8-pool-size=1'],
  });
  const forget = undoAtExit(() => child.kill('SIGKILL'));
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let calls = 0;
  let stopping = false;

  child.on('message', (reply: Reply) => {
    const answer = waiting.get(reply.call);
    waiting.delete(reply.call);
    if ('error' in reply) answer?.reject(new Error(reply.error));
    else answer?.resolve(reply.value);
  });
  child.once('exit', (code, signal) => {
    forget();
    const cause = new Error(`${file.pathname} ended with ${signal ?? code}`);
    for (const answer of waiting.values()) answer.reject(cause);
    if (!stopping && code !== 0) console.error(cause.message);
  });
  await once(child, 'spawn');

  return {
    pid: child.pid ?? 0,
    call: (method, ...input) => {
      const answer = Promise.withResolvers<unknown>();
      const request: Request = { call: calls++, method, input: input[0] };
      waiting.set(request.call, answer);
      child.send(request);
      // The two ends share `H`; between them lies a channel that knows only structured clones.
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion
      return answer.promise as Promise<never>;
    },
    [Symbol.asyncDispose]: async () => {
      stopping = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** The child's end of {@link startChild}. The child ends when its parent is gone. */
export function serveParent(handlers: Handlers): void {
  process.on('disconnect', () => process.exit(0));
  process.on('message', (request: Request) => {
    void answer(handlers, request).then((reply) => process.send?.(reply));
  });
}

async function answer(handlers: Handlers, { call, method, input }: Request): Promise<Reply> {
  const handler = handlers[method];
  if (handler === undefined) return { call, error: `no handler named ${method}` };
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above, the other end
    return { call, value: await handler(input as never) };
  } catch (err) {
    return { call, error: err instanceof Error ? (err.stack ?? err.message) : String(err) };
  }
}
