import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BelfryConnectionError,
  createClient,
  type BulkProgress,
  type NewTimer,
} from '../../packages/client/src/index.ts';
import { startReceiver, type Arrival } from '../support/receiver.ts';

/*
 * What the client sends, against a server that answers from a script; what the service makes of it is
 * in client.test.ts and clientChanges.test.ts.
 */

interface Scripted {
  readonly status?: number;
  readonly body: unknown;
}

async function startScripted(replies: readonly Scripted[]) {
  let next = 0;
  const receiver = await startReceiver((res) => {
    const { status = 200, body } = replies[next] ?? { status: 500, body: 'one request too many' };
    next += 1;
    res.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  return { receiver, client: createClient({ url: `${receiver.url}/prefix/`, token: 't0ken' }) };
}

function lineOf({ method, path }: Arrival): string {
  return `${method} ${path}`;
}

const timer = { id: 17, version: 3, status: 'pending' };

test('each change is sent to its path, with the token and under the prefix', async () => {
  const { receiver, client } = await startScripted(
    Array.from({ length: 9 }, () => ({ body: timer })),
  );
  await using _ = receiver;
  const { timers } = client;
  await timers.update(17, { delay: 'PT5M', labels: null }, { ifMatch: 3 });
  await timers.update(17, { due_at: new Date(0) }, { ifMatch: '*' });
  await timers.update(17, { json: { a: 1 } });
  await timers.fire(17);
  await timers.retry(17);
  await timers.retry(17, { seconds: 5 });
  await timers.byKey.get('a/b c');
  await timers.byKey.cancel('a/b c');
  await timers.byKey.put('a/b c', { url: 'http://a.test', seconds: 1 });

  assert.deepEqual(
    receiver.arrivals.map((arrival) => [
      lineOf(arrival),
      arrival.headers['if-match'],
      arrival.body === '' ? undefined : JSON.parse(arrival.body),
    ]),
    [
      ['PATCH /prefix/timers/17', '"3"', { delay: 'PT5M', labels: null }],
      ['PATCH /prefix/timers/17', '*', { due_at: '1970-01-01T00:00:00.000Z' }],
      ['PATCH /prefix/timers/17', undefined, { json: { a: 1 } }],
      ['POST /prefix/timers/17/fire', undefined, undefined],
      ['POST /prefix/timers/17/retry', undefined, {}],
      ['POST /prefix/timers/17/retry', undefined, { seconds: 5 }],
      ['GET /prefix/timers/by-key/a%2Fb%20c', undefined, undefined],
      ['DELETE /prefix/timers/by-key/a%2Fb%20c', undefined, undefined],
      ['PUT /prefix/timers/by-key/a%2Fb%20c', undefined, { url: 'http://a.test', seconds: 1 }],
    ],
  );
  for (const { headers } of receiver.arrivals) assert.equal(headers.authorization, 'Bearer t0ken');
  for (const key of ['', '.', '..']) await assert.rejects(timers.byKey.get(key), TypeError);
});

test('a put says whether it created, and which timer had the key before', async () => {
  const { receiver, client } = await startScripted([
    { status: 200, body: timer },
    { status: 201, body: timer },
    { status: 201, body: { ...timer, previous: { id: 16, status: 'delivering' } } },
  ]);
  await using _ = receiver;
  const put = () => client.timers.byKey.put('k', { url: 'http://a.test' });
  assert.deepEqual(await put(), { timer, created: false, previous: null });
  assert.deepEqual(await put(), { timer, created: true, previous: null });
  const previous = { id: 16, status: 'delivering' };
  assert.deepEqual(await put(), { timer, created: true, previous });
});

test('a list goes on over pages, also empty ones, as long as there is a next', async () => {
  const { receiver, client } = await startScripted([
    { body: { timers: [{ id: 3 }, { id: 2 }], next: 'c1' } },
    { body: { timers: [], next: 'c2' } },
    { body: { timers: [{ id: 1 }], next: null } },
    { body: { timers: [], next: 'c1' } },
    { body: { timers: [], next: null } },
  ]);
  await using _ = receiver;
  const list = client.timers.list({
    status: ['failed', 'live'],
    label: 'a&b',
    due_after: new Date(0),
    limit: 2,
  });
  const ids: number[] = [];
  for await (const { id } of list) ids.push(id);
  assert.deepEqual(ids, [3, 2, 1]);
  const pages: number[] = [];
  for await (const { timers } of list.pages()) pages.push(timers.length);
  assert.deepEqual(pages, [0, 0]);

  const queries = receiver.arrivals.map(({ path }) => new URL(path, receiver.url).searchParams);
  assert.deepEqual(
    queries.map((query) => query.get('cursor')),
    [null, 'c1', 'c2', null, 'c1'],
  );
  for (const query of queries) {
    query.delete('cursor');
    assert.deepEqual(Object.fromEntries(query), {
      status: 'failed,live',
      label: 'a&b',
      due_after: '1970-01-01T00:00:00.000Z',
      limit: '2',
    });
  }
});

test('a list that is left early asks for no further page', async () => {
  const { receiver, client } = await startScripted([{ body: { timers: [{ id: 1 }], next: 'c' } }]);
  await using _ = receiver;
  for await (const _timer of client.timers.list()) break;
  assert.deepEqual(receiver.arrivals.map(lineOf), ['GET /prefix/timers']);
});

test('a bulk change is planned, goes on step by step, and from a token known before', async () => {
  const plan = { count: 3, is_complete: true, token: 'p' };
  const step = (done: boolean, changed: number, token: string | null) => ({
    body: { done, changed, skipped: 0, examined: changed, token },
  });
  const { receiver, client } = await startScripted([
    { body: plan },
    step(false, 2, 's1'),
    step(true, 3, null),
    step(true, 3, null),
    { body: plan },
  ]);
  await using _ = receiver;
  const filter = { label: 'x', created_before: new Date(0) };
  const seen: BulkProgress[] = [];
  const result = await client.timers.cancelWhere(filter, { onProgress: (at) => seen.push(at) });
  assert.equal(result.changed, 3);
  assert.deepEqual(
    seen.map(({ token, changed }) => [token, changed]),
    [
      ['p', 0],
      ['s1', 2],
      [null, 3],
    ],
  );
  await client.timers.retryWhere(filter, { token: 's1' });
  assert.deepEqual(await client.timers.planRetry(filter), plan);

  const sent = { label: 'x', created_before: '1970-01-01T00:00:00.000Z' };
  assert.deepEqual(
    receiver.arrivals.map((arrival) => [lineOf(arrival), JSON.parse(arrival.body)]),
    [
      ['POST /prefix/timers/cancel', { filter: sent, dry_run: true }],
      ['POST /prefix/timers/cancel', { filter: sent, token: 'p' }],
      ['POST /prefix/timers/cancel', { filter: sent, token: 's1' }],
      ['POST /prefix/timers/retry', { filter: sent, token: 's1' }],
      ['POST /prefix/timers/retry', { filter: sent, dry_run: true }],
    ],
  );
});

test('a batch is sent in requests of at most 10,000, its results numbered through', async () => {
  await using receiver = await startReceiver((res, { body }) => {
    const count = body.trimEnd().split('\n').length;
    const results = Array.from({ length: count }, (_, index) => ({ index, status: 201, timer }));
    res.end(results.map((result) => `${JSON.stringify(result)}\n`).join(''));
  });
  const client = createClient({ url: receiver.url });
  const timers = Array.from({ length: 20_001 }, () => ({ url: 'http://a.test' }));
  const results = await client.timers.batch(timers, { idempotencyKey: 'k' });
  assert.equal(results.length, timers.length);
  for (const [place, { index }] of results.entries()) assert.equal(index, place);
  assert.deepEqual(
    receiver.arrivals.map(({ body, headers }) => [
      body.trimEnd().split('\n').length,
      headers['idempotency-key'],
      headers['content-type'],
    ]),
    [
      [10_000, 'k-0', 'application/x-ndjson'],
      [10_000, 'k-10000', 'application/x-ndjson'],
      [1, 'k-20000', 'application/x-ndjson'],
    ],
  );
  assert.deepEqual(await client.timers.batch([]), []);
});

test('a streamed batch takes no more than the next request holds before results are taken', async () => {
  await using receiver = await startReceiver((res, { body }) => {
    const count = body.trimEnd().split('\n').length;
    const line = JSON.stringify({ index: 0, status: 201, timer });
    res.end(`${line}\n`.repeat(count));
  });
  let taken = 0;
  async function* endless(): AsyncGenerator<NewTimer> {
    for (;;) {
      taken += 1;
      yield { url: 'http://a.test' };
    }
  }
  const client = createClient({ url: receiver.url });
  for await (const _result of client.timers.batchStream(endless())) break;
  assert.equal(receiver.arrivals.length, 1);
  assert.ok(taken <= 10_001, `${taken} taken`);
});

test('a call ends with its signal, or with its timeout, however long the service takes', async () => {
  await using receiver = await startReceiver(() => undefined);
  const client = createClient({ url: receiver.url });
  const abort = new AbortController();
  const given = client.timers.get(1, { signal: abort.signal });
  await receiver.arrived(1);
  const reason = new Error('enough');
  abort.abort(reason);
  await assert.rejects(given, reason);
  await assert.rejects(client.timers.get(1, { signal: AbortSignal.abort(reason) }), reason);

  await assert.rejects(client.timers.get(1, { timeoutMs: 50 }), (err: unknown) => {
    return err instanceof BelfryConnectionError && err.reason === 'timeout';
  });
});

test('nobody listening is told apart from an answer that got lost', async () => {
  const receiver = await startReceiver();
  await receiver[Symbol.asyncDispose]();
  const gone = createClient({ url: receiver.url, retries: 0 });
  await assert.rejects(gone.health(), { name: 'BelfryConnectionError', reason: 'refused' });

  await using cutter = await startReceiver((res) => res.destroy());
  const cut = createClient({ url: cutter.url, retries: 0 });
  await assert.rejects(cut.health(), { name: 'BelfryConnectionError', reason: 'network' });
});

test('options that cannot be meant are refused', () => {
  assert.throws(() => createClient({ url: 'ftp://a.test' }), TypeError);
  assert.throws(() => createClient({ url: 'nonsense' }), TypeError);
  assert.throws(() => createClient({ url: 'http://a.test', retries: -1 }), TypeError);
  assert.throws(() => createClient({ url: 'http://a.test', timeoutMs: 0 }), TypeError);
});
