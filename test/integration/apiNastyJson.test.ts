import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { assertProblem, exchange, rawRequest, request } from '../support/http.ts';
import { wholeTimers } from '../support/wholeTimers.ts';

const db = await createTestDatabase();
const app = await startTestApp(db.url, { ROLES: 'api' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

const { target, createTimer, read, assertWhole } = wholeTimers(app);

const deep = '['.repeat(50_000) + ']'.repeat(50_000);
const nasty = [
  String.raw`{"metadata":"\ud800"}`,
  String.raw`{"metadata":{"\udfff":1}}`,
  String.raw`{"labels":["\u0000"]}`,
  String.raw`{"labels":["\ud83d"]}`,
  String.raw`{"body":"\u0000"}`,
  String.raw`{"body":"\ud800"}`,
  String.raw`{"metadata":"a\u0000b"}`,
  String.raw`{"json":{"\u0000":"\ud800"}}`,
  String.raw`{"headers":{"x-a":"\u0000"}}`,
  String.raw`{"headers":{"x-a\u0000":"1"}}`,
  String.raw`{"url":"http://127.0.0.1/\ud800"}`,
  `{"metadata":${deep}}`,
  `{"json":${deep}}`,
  deep,
  '{"delay":1e400}',
  '{"delay":-1e400}',
  `{"seconds":${'9'.repeat(5_000)}}`,
  '{"metadata":1e400}',
  '{"metadata":-0.0}',
  `{"metadata":${'9'.repeat(5_000)}}`,
  '{"due_at":1e400}',
  '{"timeout":5e-324}',
  '{"expires_after":1e300}',
  '{"retry":{"max_attempts":1e400}}',
  '{"__proto__":{"delay":1},"delay":3600}',
  '{"metadata":{"__proto__":{"x":1}}}',
  '{"constructor":{"prototype":1}}',
  '{"headers":{"__proto__":"x"}}',
  '{"retry":{"__proto__":{"max_attempts":2}}}',
  '{"toString":1}',
  '{"delay":3600,"delay":7200}',
  '{"delay":3600,"delay":null}',
  '{"metadata":{"a":1,"a":2}}',
  '{"labels":["a","a"]}',
  '\ufeff{"delay":3600}',
  '{"delay":3600}{}',
  '{"delay":3600,}',
  'NaN',
  '',
  '\u0000',
];

test('JSON that is made to break things is made whole, or is a 4xx and changes nothing', async () => {
  const id = await createTimer();
  const failedOnce = await createTimer();
  await app.cancel(failedOnce);
  for (const body of nasty) {
    const about = body.slice(0, 60);
    const before = await read(`/timers/${id}`);
    const patched = await exchange(app.url, rawRequest('PATCH', `/timers/${id}`, body));
    await assertWhole(patched, before);
    const cancelled = await read(`/timers/${failedOnce}`);
    const retried = await exchange(
      app.url,
      rawRequest('POST', `/timers/${failedOnce}/retry`, body),
    );
    if (await assertWhole(retried, cancelled)) await app.cancel(failedOnce);
    const whole = body.replace(/^\{/, `{"url":"${target}",`);
    const put = await exchange(app.url, rawRequest('PUT', '/timers/by-key/nasty', whole));
    assert.ok(put.status < 500, `${about}: ${put.text}`);
    if (put.status >= 300) assertProblem(put, { status: put.status }, about);
    else assert.equal((await read('/timers/by-key/nasty'))['id'], put.body['id']);
  }
  assert.equal((await request(`${app.url}/timers`)).status, 200, 'and are listed');
});
