import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createSecretStore } from '../../src/store/secrets.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, post, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';
import { secretBoxOf } from '../support/secretKeys.ts';

const db = await createTestDatabase();
const receiver = await startReceiver((res, { path, headers }) => {
  res.statusCode = path.startsWith('/fails') ? 500 : 200;
  res.end(path.startsWith('/echoes') ? JSON.stringify(headers) : '');
});
const app = await startTestApp(db.url);
after(async () => {
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
const secret = 's3cr3t-value-0123456789';
const headers = {
  Authorization: `Bearer ${secret}`,
  cookie: [`a=${secret}`, 'b=2'],
  'X-Mine': secret,
  'x-plain': 'shown',
};
const shown = {
  authorization: '[secret]',
  cookie: '[secret]',
  'x-mine': '[secret]',
  'x-plain': 'shown',
};

async function send(method: string, path: string, body?: unknown, more = {}) {
  const answer = await request(`${app.url}${path}`, {
    method,
    headers: more,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  assert.ok(!answer.text.includes(secret), `${method} ${path}: ${answer.text}`);
  return answer;
}

async function create(fields: object): Promise<number> {
  const answer = await send('POST', '/timers', { url: `${receiver.url}/x`, ...fields });
  assert.equal(answer.status, 201, answer.text);
  return Number(answer.body['id']);
}

const finished = (id: number) =>
  eventually(`timer ${id} finished`, async () => {
    const { body } = await send('GET', `/timers/${id}`);
    return body['finished_at'] === null ? false : body;
  });

const arrivalsOf = (id: number) => receiver.arrivals.filter(({ path }) => path.endsWith(`/${id}`));

function assertSent(id: number, place = -1): void {
  const arrival = arrivalsOf(id).at(place);
  assert.equal(arrival?.headers.authorization, `Bearer ${secret}`);
  assert.equal(arrival.headers.cookie, `a=${secret}; b=2`);
  assert.equal(arrival.headers['x-mine'], secret);
  assert.equal(arrival.headers['x-plain'], 'shown');
}

async function rows(): Promise<string> {
  const all = await sql<[string]>(
    db.database,
    `SELECT t::text FROM belfry.timers t UNION ALL SELECT h::text FROM belfry.history h
     UNION ALL SELECT a::text FROM belfry.attempts a`,
  );
  return all.join('\n');
}

test('secret headers are sent as they are, and in no answer and no row', async () => {
  const withSecrets = { headers, secret_headers: ['x-mine'] };
  // Near ones are claimed as they are inserted, far ones later.
  for (const delay of [0, 0.05, 2.5]) {
    const id = await create({ ...withSecrets, delay, labels: ['secret'] });
    const waiting = await send('GET', `/timers/${id}`);
    assert.deepEqual(waiting.body['headers'], shown);
    assert.deepEqual(waiting.body['secret_headers'], ['authorization', 'cookie', 'x-mine']);
    assert.ok(!(await rows()).includes(secret));
    const done = await finished(id);
    assert.deepEqual(done['headers'], shown);
    assertSent(id);
  }
  for (const path of ['/timers', '/timers?label=secret&status=succeeded']) {
    const { body } = await send('GET', path);
    const [timer] = body['timers'] as Record<string, unknown>[];
    assert.deepEqual(timer?.['headers'], shown);
    assert.deepEqual(timer['secret_headers'], ['authorization', 'cookie', 'x-mine']);
  }
  assert.ok(!(await rows()).includes(secret));
});

test('batches, puts by name, idempotent repetitions and retries keep them too', async () => {
  const timer = { url: `${receiver.url}/x`, headers, secret_headers: ['X-MINE'] };
  const batch = await request(`${app.url}/timers/batch`, {
    method: 'POST',
    body: JSON.stringify([timer, timer]),
  });
  assert.ok(!batch.text.includes(secret));
  for (const { timer: created } of batch.body['results'] as { timer: { id: number } }[]) {
    await finished(created.id);
    assertSent(created.id);
  }

  const put = await send('PUT', '/timers/by-key/a', { ...timer, hours: 1 });
  const again = await send('PUT', '/timers/by-key/a', { ...timer, delay: 0.05 });
  assert.deepEqual([put.status, again.status], [201, 200]);
  await finished(Number(put.body['id']));
  assertSent(Number(put.body['id']));

  const key = { 'idempotency-key': 'k' };
  const first = await send('POST', '/timers', { ...timer, hours: 1 }, key);
  const same = await send('POST', '/timers', { ...timer, hours: 1 }, key);
  assert.equal(same.body['id'], first.body['id']);
  const other = { ...timer, hours: 1, headers: { ...headers, Authorization: 'another' } };
  const refused = await send('POST', '/timers', other, key);
  assertProblem(refused, { status: 422, code: 'idempotency_key_reused' });

  const failing = await create({
    ...timer,
    url: `${receiver.url}/fails`,
    retry: { max_attempts: 1 },
  });
  assert.equal((await finished(failing))['status'], 'failed');
  await send('POST', `/timers/${failing}/retry`);
  await eventually('it came again', () => arrivalsOf(failing).length === 2);
  assertSent(failing, 0);
  assertSent(failing, 1);
  assert.ok(!(await rows()).includes(secret));
});

test('a change keeps secret values that it leaves out or gives back as they were shown', async () => {
  const id = await create({ headers, secret_headers: ['x-mine'], hours: 1 });
  await send('PATCH', `/timers/${id}`, { labels: ['a'] });
  // What a client was shown, it may send back.
  const { body } = await send('GET', `/timers/${id}`);
  const back = { ...(body['headers'] as object), 'x-plain': 'changed', 'x-new': '[secret]' };
  const changed = await send('PATCH', `/timers/${id}`, { headers: back });
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual(changed.body['headers'], {
    ...shown,
    'x-plain': 'changed',
    'x-new': '[secret]',
  });
  assert.deepEqual(changed.body['secret_headers'], ['authorization', 'cookie', 'x-mine']);
  await send('POST', `/timers/${id}/fire`);
  await finished(id);
  const [arrival] = arrivalsOf(id);
  assert.equal(arrival?.headers.authorization, `Bearer ${secret}`);
  assert.equal(arrival.headers['x-mine'], secret);
  assert.equal(arrival.headers['x-plain'], 'changed');
  // Of a header that was not secret it is just a text.
  assert.equal(arrival.headers['x-new'], '[secret]');
});

test('a new value of a secret header is secret, and what is left out of headers goes', async () => {
  const id = await create({ headers, secret_headers: ['x-mine'], hours: 1 });
  const next = 's3cr3t-value-next';
  const changed = await send('PATCH', `/timers/${id}`, { headers: { 'x-mine': next } });
  assert.deepEqual(changed.body['headers'], { 'x-mine': '[secret]' });
  assert.ok(!(await rows()).includes(next));
  await send('POST', `/timers/${id}/fire`);
  await finished(id);
  assert.equal(arrivalsOf(id)[0]?.headers['x-mine'], next);
  assert.equal(arrivalsOf(id)[0]?.headers.authorization, undefined);
  const gone = await create({ headers, secret_headers: ['x-mine'], hours: 1 });
  const cleared = await send('PATCH', `/timers/${gone}`, { headers: null });
  assert.equal(cleared.body['headers'], null);
  assert.deepEqual(cleared.body['secret_headers'], []);
});

test('"[secret]" for nothing, and names of headers that are not given, are refused', async () => {
  const url = `${receiver.url}/x`;
  for (const [fields, field] of [
    [{ headers: { authorization: '[secret]' } }, 'headers.authorization'],
    [{ headers: { 'x-a': '[secret]' }, secret_headers: ['x-a'] }, 'headers.x-a'],
    [{ headers: { 'x-a': 'x' }, secret_headers: ['x-b'] }, 'secret_headers'],
    [{ secret_headers: ['x-b'] }, 'secret_headers'],
    [{ headers: { 'x-a': 'x' }, secret_headers: 'x-a' }, 'secret_headers'],
    [{ headers: { 'x-a': 'x' }, secret_headers: [1] }, 'secret_headers'],
    [{ headers: { 'x-a': 'x' }, secret_headers: ['__proto__'] }, 'secret_headers'],
  ] as const) {
    const answer = await post(app.url, { url, hours: 1, ...fields });
    assertProblem(answer, { status: 400, code: 'validation_failed', field });
  }
  const id = await create({ headers: { 'x-a': 'x' }, hours: 1 });
  const patched = await send('PATCH', `/timers/${id}`, { headers: { authorization: '[secret]' } });
  assertProblem(patched, {
    status: 400,
    code: 'validation_failed',
    field: 'headers.authorization',
  });
  const none = await send('PATCH', `/timers/${id}`, { secret_headers: ['x-a'] });
  assertProblem(none, { status: 400, code: 'validation_failed', field: 'secret_headers' });
  assert.equal((await send('GET', `/timers/${id}`)).body['version'], 1);
});

test('a receiver that gives the secrets back is not recorded to have done so', async () => {
  const id = await create({ url: `${receiver.url}/echoes`, headers, secret_headers: ['x-mine'] });
  await finished(id);
  const { text } = await send('GET', `/timers/${id}/attempts`);
  assert.ok(text.includes('[secret]') && text.includes('shown'), text);
  assert.ok(!(await rows()).includes(secret));
});

test('a value that was written for another timer is not sent', async () => {
  const one = await create({ headers, secret_headers: ['x-mine'], hours: 1 });
  const other = await create({ headers: { 'x-plain': 'x' }, hours: 1, retry: { max_attempts: 1 } });
  await sql(
    db.database,
    `UPDATE belfry.timers SET headers = (SELECT headers FROM belfry.timers WHERE id = $1) WHERE id = $2`,
    [one, other],
  );
  await send('POST', `/timers/${other}/fire`);
  const done = await finished(other);
  const [attempt] = done['attempts'] as { error_code: string }[];
  assert.equal(attempt?.error_code, 'secret_unreadable');
  assert.equal(arrivalsOf(other).length, 0);
});

test('values from before they were encrypted are not shown either, and are still sent', async () => {
  const id = await create({ headers: { 'x-plain': 'x' }, hours: 1 });
  await sql(db.database, `UPDATE belfry.timers SET headers = $2::jsonb WHERE id = $1`, [
    id,
    JSON.stringify({ authorization: `Bearer ${secret}` }),
  ]);
  assert.deepEqual((await send('GET', `/timers/${id}`)).body['headers'], {
    authorization: '[secret]',
  });
  await send('PATCH', `/timers/${id}`, { headers: { authorization: '[secret]' } });
  assert.ok(!(await rows()).includes(secret), 'and what is changed is encrypted');
  await send('POST', `/timers/${id}/fire`);
  await finished(id);
  assert.equal(arrivalsOf(id)[0]?.headers.authorization, `Bearer ${secret}`);
});

test('without a key, what would have to be kept is refused, and all else works', async () => {
  await using own = await createTestDatabase();
  await using bare = await startTestApp(own.url, { SECRET_KEYS: 'none' });
  const url = `${receiver.url}/x`;
  for (const fields of [
    { headers: { authorization: secret } },
    { headers: { 'x-a': secret }, secret_headers: ['x-a'] },
  ]) {
    const answer = await post(bare.url, { url, hours: 1, ...fields });
    const field = `headers.${Object.keys(fields.headers)[0] ?? ''}`;
    assertProblem(answer, { status: 400, code: 'secrets_not_configured', field });
    assert.match(answer.text, /SECRET_KEYS/);
    assert.ok(!answer.text.includes(secret));
  }
  const set = await request(`${bare.url}/secrets/a`, { method: 'PUT', body: '{"value":"x"}' });
  assertProblem(set, { status: 400, code: 'secrets_not_configured' });
  const rotated = await request(`${bare.url}/secrets/rotate`, { method: 'POST' });
  assertProblem(rotated, { status: 400, code: 'secrets_not_configured' });
  assert.deepEqual((await request(`${bare.url}/secrets`)).body, { secrets: [] });
  const plain = await post(bare.url, { url, headers: { 'x-a': 'x' }, hours: 1 });
  assert.equal(plain.status, 201);
  const path = `/timers/${String(plain.body['id'])}`;
  const patched = await request(`${bare.url}${path}`, {
    method: 'PATCH',
    body: JSON.stringify({ headers: { cookie: secret } }),
  });
  assertProblem(patched, { status: 400, code: 'secrets_not_configured' });
});

test('a box that is not there loses no secret silently', async () => {
  await assert.rejects(
    createSecretStore(db.database, undefined).set(
      { projectId: 1, name: 'a', value: 'x' },
      { kind: 'database', id: '', name: '', address: '' },
    ),
  );
  assert.equal(secretBoxOf('test').keyId, 'test');
});
