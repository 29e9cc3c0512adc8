import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { sampleBytesMax } from '../../src/delivery/responseSample.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, post, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

type Row = Record<string, unknown>;

const db = await createTestDatabase();
const seen = new Map<string, number>();
const answers: Record<string, { status?: number; headers?: Row; body?: string | Buffer }> = {
  text: { headers: { 'content-type': 'text/plain', 'x-secret': 'no' }, body: 'thanks ✓' },
  bytes: { body: Buffer.from([1, 2, 255]) },
  nothing: { status: 204 },
  long: { body: '✓'.repeat(10_000) },
  empty: { headers: { location: 'http://a.example/x', server: 's' } },
};
const receiver = await startReceiver((res, { path }) => {
  const [, kind = ''] = path.split('/');
  const count = (seen.get(path) ?? 0) + 1;
  seen.set(path, count);
  const answer =
    kind === 'twice' && count < 3 ? { status: 500 + count, body: `no ${count}` } : answers[kind];
  res.statusCode = answer?.status ?? 200;
  for (const [name, value] of Object.entries(answer?.headers ?? {}))
    res.setHeader(name, String(value));
  res.end(answer?.body);
});
const app = await startTestApp(db.url, { RETRY_BASE: '0.1', RETRY_FACTOR: '1' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

async function attemptsOf(fields: Row): Promise<Row[]> {
  const created = await post(app.url, fields);
  assert.equal(created.status, 201, created.text);
  const path = `/timers/${String(created.body['id'])}`;
  await eventually('it has ended', async () => (await app.get(path)).body['finished_at'] !== null);
  const { status, body, text } = await request(`${app.url}${path}/attempts`);
  assert.equal(status, 200, text);
  return body['attempts'] as Row[];
}

const shown = ({
  response_headers,
  response_bytes,
  response_body,
  response_body_base64,
}: Row = {}) => ({
  response_headers,
  response_bytes,
  ...(response_body === undefined ? {} : { response_body }),
  ...(response_body_base64 === undefined ? {} : { response_body_base64 }),
});

test('an attempt shows what was answered: a few headers, and the body as text or in base64', async () => {
  for (const [kind, expected] of Object.entries({
    text: {
      response_headers: { 'content-type': 'text/plain' },
      response_bytes: 10,
      response_body: 'thanks ✓',
    },
    bytes: { response_headers: null, response_bytes: 3, response_body_base64: 'AQL/' },
    nothing: { response_headers: null, response_bytes: null },
    empty: {
      response_headers: { location: 'http://a.example/x', server: 's' },
      response_bytes: 0,
    },
  })) {
    const [attempt, ...others] = await attemptsOf({ url: `${receiver.url}/${kind}` });
    assert.deepEqual(shown(attempt), expected, kind);
    assert.equal(others.length, 0);
  }
});

test('of a long body the beginning is kept, cut between characters, and its length told', async () => {
  const [attempt] = await attemptsOf({ url: `${receiver.url}/long` });
  const { response_body, response_bytes } = shown(attempt);
  assert.equal(response_bytes, 30_000);
  assert.equal(response_body, '✓'.repeat(Math.floor(sampleBytesMax / 3)));
});

test('every attempt has its own answer, in order', async () => {
  const attempts = await attemptsOf({ url: `${receiver.url}/twice` });
  assert.deepEqual(
    attempts.map(({ number, status, error_code, lost, response_body }) => {
      return { number, status, error_code, lost, response_body };
    }),
    [
      { number: 1, status: 501, error_code: 'http_status', lost: false, response_body: 'no 1' },
      { number: 2, status: 502, error_code: 'http_status', lost: false, response_body: 'no 2' },
      { number: 3, status: 200, error_code: null, lost: false, response_body: undefined },
    ],
  );
  for (const { started_at, lateness_ms, duration_ms } of attempts) {
    assert.ok(Date.parse(String(started_at)) > 0 && Number(lateness_ms) >= 0);
    assert.ok(Number(duration_ms) > 0);
  }
});

test('an attempt without a response shows none; timers with and without answers are recorded together', async () => {
  const urls = ['http://127.0.0.1:9/x', `${receiver.url}/text`, `${receiver.url}/nothing`];
  const all = await Promise.all(
    urls.map((url) => attemptsOf({ url, delay: 0.3, retry: { max_attempts: 1 } })),
  );
  const found = all.map(([attempt]) => [attempt?.['status'], attempt?.['response_body']]);
  assert.deepEqual(found, [
    [null, undefined],
    [200, 'thanks ✓'],
    [204, undefined],
  ]);
});

test('a timer that was not attempted yet has none; one that is not there is a 404', async () => {
  const { body } = await post(app.url, { url: `${receiver.url}/text`, delay: 99 });
  const waiting = await request(`${app.url}/timers/${String(body['id'])}/attempts`);
  assert.deepEqual(waiting.body, { attempts: [] });
  for (const id of ['999999', '0', 'x', '1.5', '-1', '9'.repeat(30), '%00']) {
    const answer = await request(`${app.url}/timers/${id}/attempts`);
    assertProblem(answer, { status: 404, code: 'timer_not_found' }, id);
  }
});
