import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { assertProblem, exchange, post, rawPost, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

const db = await createTestDatabase();
const receiver = await startReceiver();
const app = await startTestApp(db.url, { MAX_BODY_BYTES: '4096', APP_DOMAIN: 'timers.example' });
const strict = await startTestApp(db.url, {
  ALLOW_TARGETS: '',
  APP_DOMAIN: 'timers.example',
  ROLES: 'api',
});
after(async () => {
  await app[Symbol.asyncDispose]();
  await strict[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
const url = `${receiver.url}/x`;

/** Milliseconds from creation until due, as answered; checks the rest of the answer. */
function dueInMs(created: Awaited<ReturnType<typeof post>>): number {
  assert.equal(created.status, 201, created.text);
  const { body } = created;
  const dueMs = Date.parse(String(body['due_at'])) - Date.parse(String(body['created_at']));
  const timeLeft = Number(body['time_left']);
  assert.ok(timeLeft >= 0 && timeLeft * 1_000 <= dueMs + 1, created.text);
  assert.ok(timeLeft * 1_000 > dueMs - 2_000, created.text);
  assert.equal(body['status'], 'pending');
  assert.equal(created.headers.get('location'), `/timers/${String(body['id'])}`);
  return dueMs;
}

test('hours, minutes and seconds are cast by the table of the contract', async () => {
  const unitMs = { hours: 3_600_000, minutes: 60_000, seconds: 1_000 };
  const taken: [unknown, number][] = [
    [0, 0],
    [5, 5],
    [0.5, 0],
    [0.9, 0],
    [-0.5, 0],
    [-0, 0],
    [1.999, 1],
    [1e2, 100],
    ['5', 5],
    ['+5', 5],
    ['  7\t', 7],
    ['007', 7],
    ['-0', 0],
  ];
  for (const [field, ms] of Object.entries(unitMs)) {
    for (const [value, cast] of taken) {
      const created = await post(app.url, { url, [field]: value });
      assert.equal(dueInMs(created), cast * ms, `${field}: ${JSON.stringify(value)}`);
    }
  }
});

test('what the casting table does not take is a 400 that names the field', async () => {
  const refused = [
    '1.5',
    'abc',
    '',
    ' ',
    '1e3',
    '0x10',
    '--1',
    '5s',
    null,
    true,
    false,
    [],
    [5],
    {},
  ];
  for (const field of ['hours', 'minutes', 'seconds']) {
    for (const value of [...refused, -1, '-1', -1.5, 1e300, '9'.repeat(400)]) {
      const what = `${field}: ${JSON.stringify(value)}`;
      const answer = await post(app.url, { url, [field]: value });
      assertProblem(answer, { status: 400, code: 'validation_failed', field }, what);
    }
    for (const literal of ['1e400', '-1e400']) {
      const body = `{"url": "${url}", "${field}": ${literal}}`;
      const answer = await request(`${app.url}/timers`, { method: 'POST', body });
      assertProblem(answer, { status: 400, field }, literal);
    }
  }
});

test('all ways of saying when come to the same arithmetic, and nothing said means now', async () => {
  const cases: [Record<string, unknown>, number][] = [
    [{}, 0],
    [{ hours: 0, minutes: 0, seconds: 0 }, 0],
    [{ hours: '1', minutes: 1.9, seconds: '1' }, 3_661_000],
    [{ delay: 1.25 }, 1_250],
    [{ delay: 0.0001 }, 1],
    [{ delay: 'PT1.5S' }, 1_500],
    [{ delay: 'P30D' }, 30 * 86_400_000],
    [{ delay: 'P1DT1H1M1S' }, 90_061_000],
    [{ delay: 0 }, 0],
    [{ due_at: '2001-01-01T00:00:00Z' }, 0],
    [{ due_at: '0000-01-01T00:00:00Z' }, 0],
  ];
  for (const [fields, ms] of cases) {
    assert.equal(dueInMs(await post(app.url, { url, ...fields })), ms, JSON.stringify(fields));
  }
  const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
  const created = await post(app.url, { url, due_at: inAnHour });
  assert.equal(created.body['due_at'], inAnHour, 'due_at keeps its milliseconds');
  const offset = await post(app.url, { url, due_at: '2050-01-31T12:00:00.2501+02:00' });
  assert.equal(offset.body['due_at'], '2050-01-31T10:00:00.251Z');
});

test('a wrong or double way of saying when is a 400 that names the field', async () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ delay: -1 }, 'delay'],
    [{ delay: '5' }, 'delay'],
    [{ delay: 'P1Y' }, 'delay'],
    [{ delay: 'PT' }, 'delay'],
    [{ delay: null }, 'delay'],
    [{ delay: 'P40000D' }, 'delay'],
    [{ delay: 3.2e9 }, 'delay'],
    [{ hours: 900_000 }, 'hours'],
    [{ minutes: 1e9 }, 'minutes'],
    [{ due_at: '2050-01-31T12:00:00' }, 'due_at'],
    [{ due_at: '2050-02-30T12:00:00Z' }, 'due_at'],
    [{ due_at: '2050-01-31 12:00' }, 'due_at'],
    [{ due_at: 2_000_000_000 }, 'due_at'],
    [{ due_at: '2050-01-31T12:00:00+99:99' }, 'due_at'],
    [{ due_at: '9999-01-31T12:00:00Z' }, 'due_at'],
    [{ due_at: null }, 'due_at'],
    [{ seconds: 1, delay: 1 }, 'delay'],
    [{ delay: 1, due_at: '2050-01-31T12:00:00Z' }, 'due_at'],
    [{ hours: 1, due_at: '2050-01-31T12:00:00Z' }, 'due_at'],
    [{ expires_after: -1 }, 'expires_after'],
    [{ expires_after: 'soon' }, 'expires_after'],
    [{ expires_after: null }, 'expires_after'],
    [{ append_id: 'false' }, 'append_id'],
    [{ append_id: 0 }, 'append_id'],
    [{ append_id: null }, 'append_id'],
  ];
  for (const [fields, field] of cases) {
    const answer = await post(app.url, { url, ...fields });
    assertProblem(answer, { status: 400, field }, JSON.stringify(fields));
  }
});

test('unknown fields are a 400 that names every one of them', async () => {
  const answer = await post(app.url, { url, secs: 5, Headers: {}, seconds: 1 });
  assertProblem(answer, { status: 400, field: 'secs' });
  assertProblem(answer, { status: 400, field: 'Headers' });
  for (const field of ['__proto__', 'constructor', 'prototype', 'toString', 'a/b', '']) {
    const body = `{"url": "${url}", ${JSON.stringify(field)}: {"url": 1}}`;
    const refused = await request(`${app.url}/timers`, { method: 'POST', body });
    assertProblem(refused, { status: 400 }, field);
    const fields = refused.body['fields'] as { field: string }[];
    assert.deepEqual(
      fields.map((problem) => problem.field),
      [field],
    );
  }
});

test('the rules for url hold, each violation a 400 that names it', async () => {
  const refused: unknown[] = [
    undefined,
    null,
    5,
    [url],
    '',
    'www.example.com',
    '//example.com/x',
    'http:/x',
    'http:x',
    'http://',
    'http:///x',
    'http://?a=1',
    'http://#f',
    'http://:80/',
    'http://h:0/',
    'http://h:99999/',
    'ftp://example.com/',
    'javascript:alert(1)',
    'file:///etc/passwd',
    'http://user@example.com/',
    'http://user:secret@example.com/',
    'http://exa mple.com/',
    ' http://example.com/',
    'http://example.com/a b',
    'http://example.com/\n',
    'http://example.com/\u0000',
    'http://example.com\\x',
    'http://[::1/',
    'http://a..b%00/',
    'http://\ud800/',
    `http://h/${'x'.repeat(192)}`,
  ];
  for (const value of refused) {
    const what = JSON.stringify(value)?.slice(0, 60) ?? 'missing';
    assertProblem(await post(app.url, { url: value }), { status: 400, field: 'url' }, what);
  }
  const tooLong = await post(app.url, { url: `http://h/${'x'.repeat(192)}` });
  assert.match(String(tooLong.body['detail']), /200 characters \(MAX_URL_LENGTH\)/);
  const longest = `${url}/${'x'.repeat(199 - url.length)}`;
  assert.equal(longest.length, 200);
  for (const taken of [longest, 'HTTP://EXAMPLE.com', 'https://example.com:8443/a?b=c#d']) {
    const created = await post(app.url, { url: taken, hours: 1 });
    assert.equal(created.status, 201, created.text);
    assert.equal(created.body['url'], taken, 'kept as written');
  }
});

test('localhost, addresses that are not public and APP_DOMAIN are a 403 unless ALLOW_TARGETS has them', async () => {
  const targets = [
    'http://localhost/x',
    'http://LOCALHOST:8080/x',
    'http://localhost./x',
    'http://a.localhost/',
    'http://10.0.0.1/',
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f.0.0.1/',
    'http://0177.0.0.1/',
    'http://0.0.0.0/',
    'http://192.168.1.1/',
    'http://172.16.0.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://100.64.0.1/',
    'http://224.0.0.1/',
    'http://255.255.255.255/',
    'http://[::1]/',
    'http://[::]/',
    'http://[fe80::1]/',
    'http://[fc00::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:8.8.8.8]/',
    'http://[64:ff9b::7f00:1]/',
    'http://timers.example/',
    'https://TIMERS.example.:8443/x',
  ];
  const before = await storedCount();
  for (const target of targets) {
    const answer = await post(strict.url, { url: target, hours: 1 });
    assertProblem(answer, { status: 403, code: 'target_not_allowed', field: 'url' }, target);
  }
  assert.equal(await storedCount(), before);
  for (const target of ['http://localhost:1/', 'http://127.1/', 'http://[::1]/']) {
    assert.equal((await post(app.url, { url: target, hours: 1 })).status, 201, target);
  }
  for (const target of ['http://10.0.0.1/', 'http://timers.example/']) {
    assertProblem(await post(app.url, { url: target, hours: 1 }), { status: 403 }, target);
  }
});

test('the body is parsed as JSON whatever the Content-Type says, also without one', async () => {
  const body = JSON.stringify({ url, seconds: 3600 });
  const types = [
    'application/json',
    'application/json; charset=utf-8',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/octet-stream',
    'garbage',
    ';;;',
    'a/b/c',
    '',
  ];
  for (const type of types) {
    const answer = await exchange(app.url, rawPost('/timers', body, [`content-type: ${type}`]));
    assert.equal(answer.status, 201, `${type}: ${answer.text}`);
  }
  const untyped = await exchange(app.url, rawPost('/timers', body));
  assert.equal(untyped.status, 201, untyped.text);
});

test('a body that is not a JSON object is a 400', async () => {
  const bodies = ['', ' ', '{', 'null', '[]', '"x"', '5', 'true', '{"url":}', '\ufeff{}', 'NaN'];
  for (const type of [[], ['content-type: application/json'], ['content-type: text/plain']]) {
    for (const body of bodies) {
      const answer = await exchange(app.url, rawPost('/timers', body, type));
      assertProblem(answer, { status: 400 }, `${String(type)} ${JSON.stringify(body)}`);
    }
    const invalidUtf8 = Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]);
    assertProblem(await exchange(app.url, rawPost('/timers', invalidUtf8, type)), { status: 400 });
  }
  const noLength = 'POST /timers HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n';
  assertProblem(await exchange(app.url, noLength), { status: 400 });
});

test('deep nesting, lone surrogates and NUL in bodies are a 400 or taken, never a defect', async () => {
  const nested = `${'['.repeat(2_000)}${']'.repeat(2_000)}`;
  const deep = await request(`${app.url}/timers`, {
    method: 'POST',
    body: `{"url": ${nested}}`,
  });
  assertProblem(deep, { status: 400 });
  const unbalanced = await request(`${app.url}/timers`, {
    method: 'POST',
    body: '['.repeat(4_000),
  });
  assertProblem(unbalanced, { status: 400, code: 'invalid_json' });
  for (const path of ['\ud800', '\udc00\ud800', '\u0000', 'é', '💥', '\u2028', '%00', '%zz']) {
    const body = JSON.stringify({ url: `${url}/${path}`, hours: 1 });
    const created = await request(`${app.url}/timers`, { method: 'POST', body });
    if (created.status !== 201) {
      assertProblem(created, { status: 400, field: 'url' });
      continue;
    }
    const { status } = await request(`${app.url}/timers/${String(created.body['id'])}`);
    assert.equal(status, 200);
  }
});

test('a body over MAX_BODY_BYTES is a 413, with or without a length announced', async () => {
  const body = JSON.stringify({ url, padding: 'x'.repeat(4_096) });
  const announced = await request(`${app.url}/timers`, { method: 'POST', body });
  assertProblem(announced, { status: 413, code: 'body_too_large' });
  const chunked = await exchange(
    app.url,
    `POST /timers HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
  );
  assertProblem(chunked, { status: 413, code: 'body_too_large' });
});

test('a large expires_after and the horizon are kept exactly', async () => {
  const created = await post(app.url, { url, delay: 'P36525D', expires_after: 'P36525D' });
  assert.equal(created.status, 201, created.text);
  const dueMs = Date.parse(String(created.body['due_at']));
  assert.equal(Date.parse(String(created.body['expires_at'])) - dueMs, 36_525 * 86_400_000);
  const read = await request(`${app.url}/timers/${String(created.body['id'])}`);
  assert.equal(read.body['due_at'], created.body['due_at']);
  assert.equal(read.body['expires_at'], created.body['expires_at']);
  assert.equal(read.body['created_at'], created.body['created_at']);
  assert.equal(read.body['status'], 'pending');
});

async function storedCount(): Promise<number> {
  const [row] = await sql<[number]>(
    db.database,
    'SELECT (SELECT count(*) FROM belfry.timers) + (SELECT count(*) FROM belfry.history)',
  );
  return row?.[0] ?? -1;
}
