import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, post, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

const db = await createTestDatabase();
const receiver = await startReceiver((res, { path }) => {
  if (path.startsWith('/hold')) return;
  res.statusCode = path.startsWith('/broken') ? 500 : 200;
  res.end();
});
const app = await startTestApp(db.url, { MAX_TIMEOUT: '60', RETRY_BASE: '7' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
const url = `${receiver.url}/x`;

async function create(fields: Record<string, unknown>): Promise<number> {
  const created = await post(app.url, { url, ...fields });
  assert.equal(created.status, 201, created.text);
  return Number(created.body['id']);
}

async function read(id: number): Promise<Record<string, unknown>> {
  const { status, body, text } = await request(`${app.url}/timers/${id}`);
  assert.equal(status, 200, text);
  return body;
}

const finished = (id: number) =>
  eventually(`timer ${id} finished`, async () => {
    const timer = await read(id);
    return timer['finished_at'] === null ? false : timer;
  });

const arrivalOf = (id: number) =>
  receiver.arrivals.find(({ path }) => path.split('?')[0]?.endsWith(`/${id}`));

test('method, headers and body are called with as they were given, and shown as they were given', async () => {
  const headers = { authorization: 'Bearer t', 'x-list': ['1', '2'], 'user-agent': 'mine' };
  for (const [fields, sent, shown] of [
    [{ method: 'PUT', headers, body: 'h\u00e9llo \u2713' }, 'héllo ✓', { body: 'héllo ✓' }],
    [{ method: 'PATCH', json: { a: [1, null] } }, '{"a":[1,null]}', { body: '{"a":[1,null]}' }],
    [{ method: 'DELETE', body_base64: 'AQL/' }, '\u0001\u0002\ufffd', { body_base64: 'AQL/' }],
    [{ method: 'GET', headers }, '', {}],
    [{ json: null }, 'null', { body: 'null' }],
    [{ body: '' }, '', { body: '' }],
    [{ body: 'a'.repeat(100_000) }, 'a'.repeat(100_000), { body: 'a'.repeat(100_000) }],
  ] as const) {
    const id = await create({ ...fields, delay: 0.05 });
    const waiting = await read(id);
    const done = await finished(id);
    assert.equal(done['status'], 'succeeded');
    for (const timer of [waiting, done]) {
      const { body, body_base64 } = timer;
      assert.deepEqual(
        {
          ...(body === undefined ? {} : { body }),
          ...(body_base64 === undefined ? {} : { body_base64 }),
        },
        shown,
      );
      assert.equal(timer['method'], 'method' in fields ? fields.method : 'POST');
    }
    const arrival = arrivalOf(id);
    assert.equal(arrival?.method, done['method']);
    assert.equal(arrival?.body, sent);
    if ('json' in fields) assert.equal(arrival?.headers['content-type'], 'application/json');
    if (!('headers' in fields)) continue;
    assert.deepEqual(done['headers'], { ...headers, authorization: '[secret]' });
    assert.deepEqual(done['secret_headers'], ['authorization']);
    assert.equal(arrival?.headers['authorization'], 'Bearer t');
    assert.equal(arrival?.headers['x-list'], '1, 2');
    assert.equal(arrival?.headers['user-agent'], 'mine');
  }
});

test('a media type that is given wins over that of json', async () => {
  const id = await create({ json: {}, headers: { 'Content-Type': 'application/vnd.x+json' } });
  await finished(id);
  assert.equal(arrivalOf(id)?.headers['content-type'], 'application/vnd.x+json');
});

test('a timer has its own timeout', async () => {
  const id = await create({
    url: `${receiver.url}/hold`,
    timeout: 0.2,
    retry: { max_attempts: 1 },
  });
  const { attempts, timeout } = await finished(id);
  assert.equal(timeout, 0.2);
  const [attempt] = attempts as { error_code: string; duration_ms: number }[];
  assert.equal(attempt?.error_code, 'timeout');
  assert.ok(attempt.duration_ms >= 199 && attempt.duration_ms < 2_000, `${attempt.duration_ms} ms`);
});

test('a timer has its own retry policy, the rest of it as the service has it', async () => {
  const retry = { max_attempts: 3, base: 'PT0.1S', factor: 1, jitter: 0 };
  const id = await create({ url: `${receiver.url}/broken`, retry });
  const done = await finished(id);
  assert.equal(done['failure_code'], 'attempts_exhausted');
  assert.equal((done['attempts'] as unknown[]).length, 3);
  assert.deepEqual(done['retry'], { ...retry, base: 0.1, cap: 21_600, max_age: null });
  const once = await finished(
    await create({ url: `${receiver.url}/broken`, retry: { ...retry, on: [501] } }),
  );
  assert.equal(once['failure_code'], 'status_not_retried');
  const { retry: filled } = await read(await create({ delay: 99, retry: {} }));
  const service = { max_attempts: 5, base: 7, factor: 4, cap: 21_600, jitter: 0.2, max_age: null };
  assert.deepEqual(filled, service);
  const on = ['5xx', 429];
  const { retry: narrowed } = await read(await create({ delay: 99, retry: { on } }));
  assert.deepEqual(narrowed, { ...service, on });
});

test('a timer is not tried again later than its max_age', async () => {
  const retry = { max_attempts: 100, base: 0.4, factor: 1, jitter: 0, max_age: 1 };
  const id = await create({ url: `${receiver.url}/broken`, retry });
  const done = await finished(id);
  assert.equal(done['failure_code'], 'too_old');
  const started = (done['attempts'] as { started_at: string }[]).map((at) =>
    Date.parse(at.started_at),
  );
  assert.ok(started.length >= 2, `${started.length} attempts`);
  assert.ok(started.every((atMs) => atMs <= Date.parse(String(done['due_at'])) + 1_000));
});

test('labels and metadata are kept, shown live and finished, and never sent', async () => {
  const labels = ['trial', 'tenant:7', 'ü "quoted", {braces} \\ and NULL'];
  const metadata = { order: 17, nested: [{ a: null }, '\u00fc'] };
  const id = await create({ delay: 0.05, labels, metadata });
  const waiting = await read(id);
  assert.deepEqual([waiting['labels'], waiting['metadata']], [labels, metadata]);
  const done = await finished(id);
  assert.deepEqual([done['labels'], done['metadata']], [labels, metadata]);
  const arrival = arrivalOf(id);
  assert.equal(arrival?.body, '');
  assert.ok(!JSON.stringify(arrival?.headers).includes('tenant'));
  const cancelled = await create({ delay: 99, labels, metadata });
  assert.equal((await app.cancel(cancelled)).status, 200);
  assert.deepEqual((await read(cancelled))['labels'], labels);
});

test('timers with few and with many fields in one flush keep each their own', async () => {
  const all = await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      const fields =
        index % 3 === 0
          ? {}
          : { labels: [`n${index}`, 'x'].slice(0, index % 3), metadata: index, body: `b${index}` };
      return { id: await create({ delay: 99, ...fields }), index };
    }),
  );
  for (const { id, index } of all) {
    const timer = await read(id);
    const isPlain = index % 3 === 0;
    assert.deepEqual(timer['labels'], isPlain ? [] : [`n${index}`, 'x'].slice(0, index % 3));
    assert.deepEqual(timer['metadata'], isPlain ? null : index);
    assert.equal(timer['body'], isPlain ? undefined : `b${index}`);
  }
});

test('what a field does not take is a 400 that names it, and creates nothing', async () => {
  const before = await sql<[number]>(db.database, 'SELECT count(*) FROM belfry.timers');
  const refused: [string, Record<string, unknown>][] = [
    ['method', { method: 'HEAD' }],
    ['method', { method: 'post' }],
    ['method', { method: null }],
    ['method', { method: 'GET', body: 'x' }],
    ['headers', { headers: [] }],
    ['headers.host', { headers: { host: 'x' } }],
    ['headers.x-a', { headers: { 'x-a': 'a\r\nb: c' } }],
    ['body', { body: 7 }],
    ['body_base64', { body_base64: '*' }],
    ['json', { json: 1, body: 'x' }],
    ['timeout', { timeout: 0 }],
    ['timeout', { timeout: 61 }],
    ['timeout', { timeout: '1s' }],
    ['retry', { retry: 3 }],
    ['retry.max_attempts', { retry: { max_attempts: 0 } }],
    ['retry.limit', { retry: { limit: 1 } }],
    ['labels', { labels: 'a' }],
    ['metadata', { metadata: 'a'.repeat(5_000) }],
    ['append_id', { append_id: 'yes' }],
    ['priority', { priority: 1 }],
  ];
  for (const [field, fields] of refused) {
    const answer = await post(app.url, { url, delay: 99, ...fields });
    assertProblem(
      answer,
      { status: 400, code: 'validation_failed', field },
      JSON.stringify(fields),
    );
  }
  assert.deepEqual(await sql(db.database, 'SELECT count(*) FROM belfry.timers'), before);
});
