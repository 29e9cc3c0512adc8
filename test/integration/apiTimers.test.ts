import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, exchange, post, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

const db = await createTestDatabase();
const receiver = await startReceiver((res, { path }) => {
  res.statusCode = path.startsWith('/broken') ? 500 : path.startsWith('/gone') ? 410 : 204;
  res.end();
});
const app = await startTestApp(db.url, { RETRY_MAX_ATTEMPTS: '1' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
const url = `${receiver.url}/x`;

async function finished(id: unknown) {
  return eventually('the timer is finished', async () => {
    const { body } = await request(`${app.url}/timers/${String(id)}`);
    return body['finished_at'] === null ? undefined : body;
  });
}

test('the first timer of a database has id 1, and ids count up', async () => {
  const first = await post(app.url, { url, hours: 1 });
  assert.equal(first.body['id'], 1);
  assert.equal(first.headers.get('location'), '/timers/1');
  assert.equal((await post(app.url, { url, hours: 1 })).body['id'], 2);
});

test('a timer is read back whole: pending with its time left, then finished with its attempt', async () => {
  const { body: created } = await post(app.url, { url, delay: 0.5, expires_after: 60 });
  const { status, body: pending } = await request(`${app.url}/timers/${String(created['id'])}`);
  assert.equal(status, 200);
  assert.deepEqual(pending, {
    ...created,
    version: 1,
    key: null,
    time_left: pending['time_left'],
    method: 'POST',
    headers: null,
    secret_headers: [],
    append_id: true,
    timeout: null,
    retry: null,
    labels: [],
    metadata: null,
    next_attempt_at: created['due_at'],
    finished_at: null,
    failure_code: null,
    attempts: [],
  });
  assert.ok(Number(pending['time_left']) > 0 && Number(pending['time_left']) <= 0.5);

  const done = await finished(created['id']);
  const attempts = done['attempts'] as Record<string, unknown>[];
  assert.equal(done['status'], 'succeeded');
  assert.equal(done['time_left'], 0);
  assert.equal(done['next_attempt_at'], null);
  assert.equal(done['failure_code'], null);
  assert.equal(done['due_at'], created['due_at']);
  assert.equal(attempts.length, 1);
  const { started_at, lateness_ms, duration_ms, ...rest } = attempts[0] ?? {};
  assert.deepEqual(rest, { number: 1, status: 204, error_code: null, lost: false });
  assert.ok(Date.parse(String(started_at)) >= Date.parse(String(created['due_at'])));
  assert.ok(Number(lateness_ms) >= 0 && Number(duration_ms) > 0);
});

test('a failed timer says why: attempts_exhausted, or gone after a 410', async () => {
  const broken = await post(app.url, { url: `${receiver.url}/broken` });
  const gone = await post(app.url, { url: `${receiver.url}/gone` });
  const exhausted = await finished(broken.body['id']);
  assert.equal(exhausted['status'], 'failed');
  assert.equal(exhausted['failure_code'], 'attempts_exhausted');
  assert.partialDeepStrictEqual(exhausted['attempts'], [
    { number: 1, status: 500, error_code: 'http_status', lost: false },
  ]);
  assert.equal((await finished(gone.body['id']))['failure_code'], 'gone');
});

test('time_left is never negative, also while a due timer waits for its turn', async () => {
  const { body } = await post(app.url, { url, delay: 0.02 });
  const seen = new Set<unknown>();
  await eventually('finished', async () => {
    const read = await request(`${app.url}/timers/${String(body['id'])}`);
    assert.ok(Number(read.body['time_left']) >= 0, read.text);
    seen.add(read.body['status']);
    return read.body['status'] === 'succeeded';
  });
  for (const status of seen) {
    assert.ok(['pending', 'delivering', 'succeeded'].includes(String(status)), String(status));
  }
});

test('the id follows the path, query and fragment are dropped; append_id false calls the URL as given', async () => {
  const { port } = receiver;
  const cases: [Record<string, unknown>, (id: unknown) => string][] = [
    [{ url: `http://127.0.0.1:${port}/a/b/?q=1#f` }, (id) => `/a/b/${String(id)}`],
    [{ url: `http://127.0.0.1:${port}/a/b` }, (id) => `/a/b/${String(id)}`],
    [{ url: `http://127.0.0.1:${port}` }, (id) => `/${String(id)}`],
    [{ url: `http://127.0.0.1:${port}/a//?` }, (id) => `/a//${String(id)}`],
    [
      { url: `http://127.0.0.1:${port}/as/is/?q=1&x=%20#f`, append_id: false },
      () => '/as/is/?q=1&x=%20',
    ],
    [{ url: `http://127.0.0.1:${port}/as/is2`, append_id: false }, () => '/as/is2'],
    [
      { url: `http://127.0.0.1:${port}/appended`, append_id: true },
      (id) => `/appended/${String(id)}`,
    ],
  ];
  for (const [body, pathOf] of cases) {
    const created = await post(app.url, body);
    assert.equal(created.status, 201, created.text);
    const path = pathOf(created.body['id']);
    const arrival = await eventually(path, () =>
      receiver.arrivals.find((arrived) => arrived.path === path),
    );
    assert.equal(arrival.method, 'POST');
    assert.equal(arrival.body, '');
    assert.match(
      String(arrival.headers['webhook-id']),
      new RegExp(`_${String(created.body['id'])}$`),
    );
    assert.equal(arrival.headers['belfry-attempt'], '1');
    assert.match(String(arrival.headers['user-agent']), /^Belfry\//);
  }
});

test('DELETE cancels for good: 200, again 200, and no attempt ever starts', async () => {
  const far = await post(app.url, { url: `${receiver.url}/cancelled`, hours: 1 });
  const near = await post(app.url, { url: `${receiver.url}/cancelled`, delay: 0.4 });
  for (const { body } of [far, near]) {
    const id = String(body['id']);
    for (let times = 1; times <= 3; times++) {
      const answer = await request(`${app.url}/timers/${id}`, { method: 'DELETE' });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.body, { id: body['id'], status: 'cancelled' });
    }
    const { body: read } = await request(`${app.url}/timers/${id}`);
    assert.equal(read['status'], 'cancelled');
    assert.equal(read['time_left'], 0);
    assert.equal(read['next_attempt_at'], null);
    assert.notEqual(read['finished_at'], null);
  }
  // One that is due after the cancelled one has been called: so would that one have been.
  const { body: later } = await post(app.url, { url, delay: 0.5 });
  await finished(later['id']);
  assert.ok(!receiver.arrivals.some(({ path }) => path.startsWith('/cancelled')));
});

test('DELETE of what is finished is a 409, of what never was a 404', async () => {
  const { body } = await post(app.url, { url });
  await finished(body['id']);
  const late = await request(`${app.url}/timers/${String(body['id'])}`, { method: 'DELETE' });
  assertProblem(late, { status: 409, code: 'too_late' });
  assert.match(String(late.body['detail']), /succeeded/);
  const unknown = await request(`${app.url}/timers/4242424242`, { method: 'DELETE' });
  assertProblem(unknown, { status: 404, code: 'timer_not_found' });
});

test('DELETE needs no body, and does not mind a Content-Type without one', async () => {
  const { body } = await post(app.url, { url, hours: 1 });
  const answer = await request(`${app.url}/timers/${String(body['id'])}`, {
    method: 'DELETE',
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(answer.status, 200, answer.text);
});

test('ids of any garbage form are a 404 or a 400, never a 500', async () => {
  const garbage = [
    '0',
    '01',
    '1.5',
    '-1',
    '+1',
    '1e3',
    '0x1',
    ' 1',
    '1%20',
    '9007199254740991',
    '9007199254740993',
    '99999999999999999999',
    '%00',
    '1%00',
    '%zz',
    '%',
    '%ff%fe',
    '%F0%9F%92%A5',
    '١',
    '💥',
    'null',
    'NaN',
    'Infinity',
    '__proto__',
    "1'--",
    '1;DROP TABLE belfry.timers',
    '%2e%2e%2f',
    '..%2f1',
    '1/2',
    '',
    '9'.repeat(400),
    'x'.repeat(4_000),
  ];
  for (const id of garbage) {
    for (const method of ['GET', 'DELETE']) {
      const answer = await exchange(
        app.url,
        `${method} /timers/${id} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
      );
      const what = `${method} ${id.slice(0, 40)}`;
      assert.ok([400, 404].includes(answer.status), `${what}: ${answer.status}`);
      assertProblem(answer, { status: answer.status }, what);
    }
  }
});

test('every unknown route and method is a 404 problem', async () => {
  const routes = [
    ['GET', '/'],
    ['PUT', '/timers'],
    ['POST', '/timers/1'],
    ['PUT', '/timers/1'],
    ['GET', '/nothing/here?x=1'],
    ['OPTIONS', '/timers'],
    ['OPTIONS', '/timers/1'],
    ['DELETE', '/health'],
  ];
  for (const [method = '', path = ''] of routes) {
    const body = method === 'GET' || method === 'DELETE' ? {} : { body: '{}' };
    const answer = await request(`${app.url}${path}`, { method, ...body });
    assertProblem(answer, { status: 404, code: 'route_not_found' }, `${method} ${path}`);
  }
});

test('HEAD answers like GET, without a body', async () => {
  const { body } = await post(app.url, { url, hours: 1 });
  const cases: [string, number][] = [
    [`/timers/${String(body['id'])}`, 200],
    ['/timers/4242424242', 404],
    ['/timers/x', 404],
    ['/health', 200],
    ['/ready', 200],
    ['/metrics', 200],
    ['/nothing', 404],
  ];
  for (const [path, status] of cases) {
    const answer = await request(`${app.url}${path}`, { method: 'HEAD' });
    assert.equal(answer.status, status, path);
    assert.equal(answer.text, '', path);
  }
});

test('what is not HTTP is answered with a 400 problem, and the service lives on', async () => {
  const garbage = [
    'garbage\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'FROB /health HTTP/1.1\r\nhost: x\r\n\r\n',
    'GET /health HTTP/1.1\r\nbad header\r\n\r\n',
    'GET /health HTTP/1.1\r\nhost: x\r\nx: \u0000\r\n\r\n',
    'POST /timers HTTP/1.1\r\nhost: x\r\ncontent-length: five\r\n\r\n{}',
    'POST /timers HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}',
    'POST /timers HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n',
    `GET /health HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`,
    '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
  ];
  for (const bytes of garbage) {
    const answer = await exchange(app.url, bytes);
    assertProblem(answer, { status: 400, code: 'bad_request' }, bytes.slice(0, 60));
  }
  assert.equal((await post(app.url, { url, hours: 1 })).status, 201);
});
