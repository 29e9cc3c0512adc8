import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { batchItemsMax } from '../../src/api/batch.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, exchange, request, type Answer } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

type Row = Record<string, unknown>;

const db = await createTestDatabase();
const receiver = await startReceiver();
const app = await startTestApp(db.url, { MAX_BODY_BYTES: '4096', MAX_BATCH_BYTES: '4194304' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
const url = `${receiver.url}/x`;
const ndjson = 'application/x-ndjson';

function batch(body: string, headers: Record<string, string> = {}): Promise<Answer> {
  return request(`${app.url}/timers/batch`, { method: 'POST', body, headers });
}

const lines = (items: readonly unknown[]) =>
  items.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join('\n');

/** The results, whichever form they came in. */
function resultsOf({ status, headers, text, body }: Answer): Row[] {
  assert.equal(status, 200, text.slice(0, 500));
  if (headers.get('content-type')?.startsWith(ndjson) !== true) return body['results'] as Row[];
  if (text === '') return [];
  assert.ok(text.endsWith('\n'));
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
}

const timerOf = (result: Row | undefined) => (result?.['timer'] ?? {}) as Row;
const errorOf = (result: Row | undefined) => (result?.['error'] ?? {}) as Row;
const codeOf = (result: Row | undefined) => errorOf(result)['code'];

async function timersInAll(): Promise<number> {
  const [row] = await sql<[number]>(
    db.database,
    'SELECT (SELECT count(*) FROM belfry.timers) + (SELECT count(*) FROM belfry.history)',
  );
  return Number(row?.[0]);
}

for (const form of ['array', 'lines'] as const) {
  const send = (items: readonly unknown[], headers: Record<string, string> = {}) =>
    form === 'array'
      ? batch(JSON.stringify(items), headers)
      : batch(lines(items), { 'content-type': ndjson, ...headers });

  test(`as ${form}: a result for each in order, and bad ones do not spoil good ones`, async () => {
    const before = await timersInAll();
    const results = resultsOf(
      await send([
        { url, delay: 99, labels: ['first'] },
        { url, delay: 'x' },
        { delay: 1 },
        { url: 'http://10.0.0.1/', delay: 1 },
        { url, delay: 99, colour: 'red' },
        [],
        null,
        17,
        { url, due_at: '2050-01-01T00:00:00Z', json: { a: 1 } },
      ]),
    );
    assert.deepEqual(
      results.map(({ index, status }) => [index, status]),
      [201, 400, 400, 403, 400, 400, 400, 400, 201].map((status, index) => [index, status]),
    );
    assert.equal(codeOf(results[3]), 'target_not_allowed');
    for (const [index, field] of [
      [1, 'delay'],
      [2, 'url'],
      [4, 'colour'],
    ] as const) {
      const { fields } = errorOf(results[index]) as { fields: Row[] };
      assert.equal(fields[0]?.['field'], field);
    }
    const first = await app.get(`/timers/${String(timerOf(results[0])['id'])}`);
    assert.deepEqual(first.body['labels'], ['first']);
    assert.equal(timerOf(results[8])['due_at'], '2050-01-01T00:00:00.000Z');
    assert.equal(await timersInAll(), before + 2);
  });

  test(`as ${form}: ${batchItemsMax} timers, all committed, few flushes`, async () => {
    const before = await timersInAll();
    const results = resultsOf(
      await send(
        Array.from({ length: batchItemsMax }, (_, index) => ({
          url,
          delay: 9_999,
          metadata: index,
        })),
      ),
    );
    const ids = results.map((result) => Number(timerOf(result)['id']));
    assert.equal(new Set(ids).size, batchItemsMax);
    assert.equal(await timersInAll(), before + batchItemsMax);
    const stored = await sql<[number, number]>(
      db.database,
      `SELECT id, metadata::text::integer FROM belfry.timers
       WHERE id = ANY($1::bigint[]) AND metadata IS NOT NULL`,
      [ids],
    );
    assert.equal(stored.length, batchItemsMax);
    assert.ok(stored.every(([id, index]) => ids[index] === id));
    const [row] = await sql<[number]>(
      db.database,
      'SELECT count(DISTINCT created_at) FROM belfry.timers WHERE id = ANY($1::bigint[])',
      [ids],
    );
    assert.ok(Number(row?.[0]) <= batchItemsMax / 50, `${row?.[0]} flushes`);
  });

  test(`as ${form}: under a key, a batch that is sent again creates nothing again`, async () => {
    const items = [
      { url, delay: 99 },
      { url, delay: 'x' },
      { url, delay: 98 },
    ];
    const headers = { 'idempotency-key': `nightly-${form}` };
    const first = await send(items, headers);
    const before = await timersInAll();
    assert.equal((await send(items, headers)).text, first.text);
    assert.equal(await timersInAll(), before);
    const changed = resultsOf(await send([items[0], items[1], { url, delay: 97 }], headers));
    assert.deepEqual(
      changed.map(({ status }) => status),
      [201, 400, 422],
    );
    assert.equal(await timersInAll(), before);
  });

  test(`as ${form}: timers that are due at once fire`, async () => {
    const path = `/near-${form}`;
    const results = resultsOf(
      await send(
        Array.from({ length: 300 }, () => ({ url: `${receiver.url}${path}`, delay: 0.1 })),
      ),
    );
    assert.ok(results.every(({ status }) => status === 201));
    const arrived = () =>
      receiver.arrivals.filter((arrival) => arrival.path.startsWith(`${path}/`));
    await eventually('all have arrived', () => arrived().length >= 300);
    assert.equal(new Set(arrived().map((arrival) => arrival.path)).size, 300);
  });

  test(`as ${form}: nothing in it is nothing done`, async () => {
    assert.deepEqual(resultsOf(await send([])), []);
  });
}

test('an array that is none, is too long or too large is refused whole', async () => {
  const before = await timersInAll();
  for (const body of ['{}', '17', 'null', '"x"']) {
    assertProblem(
      await batch(body),
      { status: 400, code: 'validation_failed', field: 'body' },
      body,
    );
  }
  assertProblem(await batch('[1,'), { status: 400, code: 'invalid_json' });
  const one = { url, delay: 99 };
  const tooMany = JSON.stringify(Array.from({ length: batchItemsMax + 1 }, () => one));
  assertProblem(await batch(tooMany), { status: 413, code: 'body_too_large' });
  assertProblem(await batch(`[${' '.repeat(4_194_304)}]`), { status: 413, code: 'body_too_large' });
  assert.equal(await timersInAll(), before);
});

test('lines may end in CR LF, be blank, or be no JSON; the last needs no end', async () => {
  const one = JSON.stringify({ url, delay: 99 });
  const results = resultsOf(
    await batch(`\r\n${one}\r\n\n  \n{oops\n${one}`, {
      'content-type': `${ndjson}; charset=utf-8`,
    }),
  );
  assert.deepEqual(
    results.map(({ status }) => status),
    [201, 400, 201],
  );
  assert.equal(codeOf(results[1]), 'invalid_json');
});

test('what came before a line that is too long, or one too many, is done and told', async () => {
  const one = JSON.stringify({ url, delay: 99 });
  const long = JSON.stringify({ url, delay: 99, body: 'a'.repeat(5_000) });
  const results = resultsOf(await batch(lines([one, long, one]), { 'content-type': ndjson }));
  assert.deepEqual(
    results.map(({ status }) => status),
    [201, 413],
  );
  const before = await timersInAll();
  const many = resultsOf(
    await batch(lines(Array.from({ length: batchItemsMax + 5 }, () => one)), {
      'content-type': ndjson,
    }),
  );
  assert.equal(many.length, batchItemsMax + 1);
  assert.equal(many.at(-1)?.['status'], 413);
  assert.equal(await timersInAll(), before + batchItemsMax);
});

test('after a line that is too long, the same connection takes the next request', async () => {
  const body = `{"url":"${'x'.repeat(2 * 1024 * 1024)}"}\n`;
  const { text } = await exchange(
    app.url,
    `POST /timers/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${ndjson}\r\ncontent-length: ${body.length}\r\n\r\n${body}GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
  );
  assert.match(text, /body_too_large[^]*HTTP\/1\.1 200 OK[^]*"status":"ok"/);
});

test('lines are taken up while more are still to come', async () => {
  const before = await timersInAll();
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
  const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  const one = `${JSON.stringify({ url, delay: 99 })}\n`;
  socket.write(
    `POST /timers/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${ndjson}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n${chunk(one.repeat(3) + one.slice(0, 20))}`,
  );
  await eventually('three are there', async () => (await timersInAll()) === before + 3);
  socket.write(`${chunk(one.slice(20))}0\r\n\r\n`);
  const received: Buffer[] = [];
  for await (const data of socket) received.push(data as Buffer);
  assert.equal(
    Buffer.concat(received)
      .toString()
      .match(/"status":201/g)?.length,
    4,
  );
  assert.equal(await timersInAll(), before + 4);
});

test('a client that goes away in the middle leaves what it had sent, and the service in order', async () => {
  const before = await timersInAll();
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
  const one = `${JSON.stringify({ url, delay: 99 })}\n`;
  socket.write(
    `POST /timers/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${ndjson}\r\ncontent-length: 99999\r\n\r\n${one}${one}`,
  );
  await eventually('two are there', async () => (await timersInAll()) === before + 2);
  socket.resetAndDestroy();
  assert.deepEqual(
    resultsOf(await batch(`[${one}]`)).map(({ status }) => status),
    [201],
  );
});

test('a single timer is JSON whatever the media type says, also that of lines', async () => {
  const created = await request(`${app.url}/timers`, {
    method: 'POST',
    body: JSON.stringify({ url, delay: 99 }),
    headers: { 'content-type': ndjson },
  });
  assert.equal(created.status, 201, created.text);
});
