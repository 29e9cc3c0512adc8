import assert from 'node:assert/strict';
import { Agent, request } from 'undici';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Record<string, unknown>;
}

/** The problem's code; '' when the answer is none. */
export function codeOf({ body: { code } }: Answer): string {
  return typeof code === 'string' ? code : '';
}

/** A timer as far as tests read it. */
export interface TimerAnswer {
  readonly id: number;
  readonly status: string;
  readonly due_at: string;
  readonly time_left: number;
  readonly failure_code: string | null;
  readonly attempts: readonly {
    readonly number: number;
    readonly started_at: string | null;
    readonly lateness_ms: number | null;
    readonly status: number | null;
    readonly error_code: string | null;
    readonly lost: boolean;
  }[];
}

/** What a caller of the API does. Rejects only when no answer came. */
export interface TimerClient {
  create(body: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** Creates, and fails on any answer other than 201. */
  created(body: unknown): Promise<{ id: number; dueAtMs: number }>;
  read(id: number): Promise<TimerAnswer>;
  cancel(id: number): Promise<Answer>;
  get(path: string): Promise<Answer>;
  send(method: 'PATCH' | 'PUT' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<Answer>;
  /** One number of GET /metrics; 0 when it is not there. */
  metric(name: string): Promise<number>;
  close(): Promise<void>;
}

export function createTimerClient(url: string): TimerClient {
  const agent = new Agent({ connections: 64, pipelining: 1 });

  async function call(
    method: 'GET' | 'POST' | 'DELETE' | 'PATCH' | 'PUT',
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ) {
    const answer = await request(`${url}${path}`, {
      method,
      dispatcher: agent,
      ...(body === undefined
        ? {}
        : {
            body: JSON.stringify(body),
            headers: { 'content-type': 'application/json', ...headers },
          }),
    });
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
  }

  async function json(...args: Parameters<typeof call>): Promise<Answer> {
    const { status, headers, text } = await call(...args);
    return { status, headers, body: JSON.parse(text === '' ? '{}' : text) };
  }

  return {
    create: (body, headers) => json('POST', '/timers', body, headers),
    async created(body) {
      const answer = await json('POST', '/timers', body);
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      return { id: Number(answer.body['id']), dueAtMs: Date.parse(String(answer.body['due_at'])) };
    },
    async read(id) {
      const { status, body } = await json('GET', `/timers/${id}`);
      assert.equal(status, 200, JSON.stringify(body));
      return body as unknown as TimerAnswer;
    },
    cancel: (id) => json('DELETE', `/timers/${id}`),
    get: (path) => json('GET', path),
    send: (method, path, body) => json(method, path, body),
    async metric(name) {
      const { text } = await call('GET', '/metrics');
      const match = new RegExp(`^${name} (\\S+)$`, 'm').exec(text);
      return Number(match?.[1] ?? 0);
    },
    close: () => agent.destroy(),
  };
}

/** Runs `task` for 0 … count-1, so many at a time. */
export async function inParallel(
  count: number,
  width: number,
  task: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(width, count) }, async () => {
      while (next < count) {
        const index = next;
        next += 1;
        await task(index);
      }
    }),
  );
}
