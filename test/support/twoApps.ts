import assert from 'node:assert/strict';
import { startTestApp, type TestApp } from './app.ts';
import { createTestDatabase } from './database.ts';
import { eventually } from './eventually.ts';
import { startReceiver } from './receiver.ts';

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly etag: string | null;
}

/** Two services over one database, so that timers may be held elsewhere, and a receiver. */
export async function startTwoApps(environment: Record<string, string>) {
  const db = await createTestDatabase();
  let answers: (path: string) => number | Promise<number> = () => 200;
  const receiver = await startReceiver((res, { path }) => {
    void Promise.resolve(answers(path)).then((status) => res.writeHead(status).end());
  });
  const app = await startTestApp(db.url, environment);
  const other = await startTestApp(db.url, environment);

  async function send(
    method: string,
    path: string,
    body?: unknown,
    options: { to?: TestApp; headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const { to = app, headers = {} } = options;
    const response = await fetch(`${to.url}${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    });
    const answered: unknown = await response.json();
    assert.ok(typeof answered === 'object' && answered !== null);
    return {
      status: response.status,
      body: Object.fromEntries(Object.entries(answered)),
      etag: response.headers.get('etag'),
    };
  }

  return {
    db,
    receiver,
    app,
    other,
    send,
    /** Each path is answered so from now on; 200 at first. */
    answerWith(next: (path: string) => number | Promise<number>): void {
      answers = next;
    },
    /** Creates a timer that calls the receiver; its id. */
    async created(body: Record<string, unknown>, to = app): Promise<number> {
      const { status, body: timer } = await to.post({ url: receiver.url, ...body });
      assert.equal(status, 201, JSON.stringify(timer));
      return Number(timer['id']);
    },
    arrivals: (id: number | string) =>
      receiver.arrivals.filter(({ path }) => path.endsWith(`/${id}`)),
    finished: (id: number, status: string): Promise<Record<string, unknown>> =>
      eventually(`timer ${id} is ${status}`, async () => {
        const { body } = await app.get(`/timers/${id}`);
        return body['status'] === status ? body : undefined;
      }),
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
      await receiver[Symbol.asyncDispose]();
      await db[Symbol.asyncDispose]();
    },
  };
}
