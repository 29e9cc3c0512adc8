import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { sql } from '../support/database.ts';
import { startTwoApps } from '../support/twoApps.ts';

const both = await startTwoApps({ RETRY_MAX_ATTEMPTS: '1' });
const { db, receiver, app, other, send, answerWith, created, arrivals, finished } = both;
after(() => both[Symbol.asyncDispose]());

test('a PATCH changes what it names and nothing else, and raises the version', async () => {
  const id = await created({
    delay: 3_600,
    headers: { 'x-a': '1' },
    body: 'before',
    labels: ['one', 'two'],
    metadata: { a: 1 },
    expires_after: 60,
    timeout: 5,
    retry: { max_attempts: 7 },
  });
  const first = await send('GET', `/timers/${id}`);
  assert.equal(first.etag, '"1"');
  const second = await send('PATCH', `/timers/${id}`, { labels: ['two', 'three'] });
  assert.equal(second.status, 200, JSON.stringify(second.body));
  assert.equal(second.etag, '"2"');
  assert.deepEqual(
    { ...second.body, time_left: 0 },
    { ...first.body, time_left: 0, version: 2, labels: ['two', 'three'] },
  );
  const third = await send('PATCH', `/timers/${id}`, {
    json: { b: 2 },
    method: 'PUT',
    url: `${receiver.url}/elsewhere`,
    delay: 7_200,
  });
  assert.partialDeepStrictEqual(third.body, {
    version: 3,
    url: `${receiver.url}/elsewhere`,
    method: 'PUT',
    body: '{"b":2}',
    headers: { 'x-a': '1', 'content-type': 'application/json' },
    status: 'pending',
  });
  const dueAtMs = Date.parse(String(third.body['due_at']));
  assert.ok(Math.abs(dueAtMs - Date.now() - 7_200_000) < 5_000);
  assert.equal(Date.parse(String(third.body['expires_at'])), dueAtMs + 60_000);
  const cleared = await send('PATCH', `/timers/${id}`, {
    headers: null,
    body: null,
    timeout: null,
    retry: null,
    labels: null,
    metadata: null,
    expires_after: null,
  });
  assert.partialDeepStrictEqual(cleared.body, {
    version: 4,
    headers: null,
    timeout: null,
    retry: null,
    labels: [],
    metadata: null,
    expires_at: null,
    due_at: third.body['due_at'],
  });
  assert.equal(cleared.body['body'], undefined);
});

test('labels stay findable in step with what a PATCH makes of them', async () => {
  const id = await created({ delay: 3_600 });
  const stored = async () =>
    (
      await sql<[string]>(
        db.database,
        'SELECT label FROM belfry.timer_labels WHERE timer_id = $1 ORDER BY label',
        [id],
      )
    ).map(([label]) => label);
  for (const labels of [['a', 'b'], ['b', 'c'], ['c'], null, ['d']]) {
    assert.equal((await send('PATCH', `/timers/${id}`, { labels })).status, 200);
    assert.deepEqual(await stored(), labels ?? []);
  }
  assert.equal((await send('PATCH', `/timers/${id}`, { delay: 60 })).status, 200);
  assert.deepEqual(await stored(), ['d']);
});

test('a moved timer fires at its new time and not at its old one, wherever it is held', async () => {
  const ids = await Promise.all(
    [0.6, 0.9, 1.4].flatMap((delay) => [created({ delay }), created({ delay }, other)]),
  );
  const moved = await Promise.all(ids.map((id) => send('PATCH', `/timers/${id}`, { delay: 2.5 })));
  assert.deepEqual(
    moved.map(({ status }) => status),
    ids.map(() => 200),
  );
  for (const [index, id] of ids.entries()) {
    const timer = await finished(id, 'succeeded');
    const [attempt] = Array.isArray(timer['attempts']) ? timer['attempts'] : [];
    const dueAt = moved[index]?.body['due_at'];
    assert.ok(Date.parse(attempt.started_at) >= Date.parse(String(dueAt)), 'not before');
    assert.equal(arrivals(id).length, 1);
  }
});

test('If-Match lets a change through only for the version that it names', async () => {
  const id = await created({ delay: 3_600 });
  const headers = (tag: string) => ({ headers: { 'if-match': tag } });
  const wrong = await send('PATCH', `/timers/${id}`, { delay: 9 }, headers('"2"'));
  assert.equal(wrong.status, 412);
  assert.equal(wrong.body['code'], 'version_mismatch');
  for (const tag of ['2', 'W/"1"', '"x"', '']) {
    const garbled = await send('PATCH', `/timers/${id}`, { delay: 9 }, headers(tag));
    assert.equal(garbled.status, 400, tag);
  }
  assert.equal((await send('PATCH', `/timers/${id}`, { method: 'PUT' }, headers('*'))).status, 200);
  const racers = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      send('PATCH', `/timers/${id}`, { metadata: index }, headers('"2"')),
    ),
  );
  assert.deepEqual(
    racers.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, ...Array(9).fill(412)],
  );
});

test('changes without If-Match are all made, each on top of the others', async () => {
  const id = await created({ delay: 3_600 });
  const fields = [{ metadata: 5 }, { labels: ['x'] }, { timeout: 9 }, { method: 'PUT' }];
  const answered = await Promise.all(fields.map((body) => send('PATCH', `/timers/${id}`, body)));
  assert.deepEqual(
    answered.map(({ status }) => status),
    fields.map(() => 200),
  );
  const { body } = await app.get(`/timers/${id}`);
  assert.partialDeepStrictEqual(body, {
    version: 5,
    metadata: 5,
    labels: ['x'],
    timeout: 9,
    method: 'PUT',
  });
});

test('a PATCH that says nothing, or something wrong, changes nothing', async () => {
  const id = await created({ delay: 3_600, body: 'text' });
  const cases: [unknown, string][] = [
    [{}, 'body'],
    [{ delay: 1, due_at: '2030-01-01T00:00:00Z' }, 'due_at'],
    [{ method: 'GET' }, 'method'],
    [{ method: 'HEAD' }, 'method'],
    [{ url: 'http:/x' }, 'url'],
    [{ url: null }, 'url'],
    [{ append_id: null }, 'append_id'],
    [{ headers: { host: 'x' } }, 'headers.host'],
    [{ timeout: 0 }, 'timeout'],
    [{ retry: { max_attempts: 0 } }, 'retry.max_attempts'],
    [{ labels: 'x' }, 'labels'],
    [{ expires_after: 0 }, 'expires_after'],
    [{ body: 'a', json: 1 }, 'json'],
    [{ body_base64: null }, 'body_base64'],
    [{ key: 'x' }, 'key'],
    [{ id: 1 }, 'id'],
  ];
  for (const [body, field] of cases) {
    const answer = await send('PATCH', `/timers/${id}`, body);
    assert.equal(answer.status, 400, JSON.stringify(body));
    assert.partialDeepStrictEqual(answer.body, { code: 'validation_failed', fields: [{ field }] });
  }
  const forbidden = await send('PATCH', `/timers/${id}`, { url: 'http://10.0.0.1/' });
  assert.equal(forbidden.status, 403);
  assert.equal((await app.get(`/timers/${id}`)).body['version'], 1);
});

test('what is finished or unknown is not changed: 409 with the status, 404', async () => {
  const id = await created({ delay: 3_600 });
  await app.cancel(id);
  for (const [method, path, body] of [
    ['PATCH', `/timers/${id}`, { delay: 1 }],
    ['POST', `/timers/${id}/fire`, undefined],
  ] as const) {
    const answer = await send(method, path, body);
    assert.equal(answer.status, 409);
    assert.equal(answer.body['code'], 'too_late');
    assert.match(String(answer.body['detail']), /cancelled already/);
  }
  for (const unknown of ['999999', 'x', '-1', '9'.repeat(40)]) {
    assert.equal((await send('PATCH', `/timers/${unknown}`, { delay: 1 })).status, 404);
    assert.equal((await send('POST', `/timers/${unknown}/fire`)).status, 404);
    assert.equal((await send('POST', `/timers/${unknown}/retry`)).status, 404);
  }
});

test('fire makes a waiting or retrying timer due now, whoever holds it', async () => {
  const ids = [
    await created({ delay: 3_600 }),
    await created({ delay: 1.9 }),
    await created({ delay: 1.9 }, other),
  ];
  for (const id of ids) {
    const answer = await send('POST', `/timers/${id}/fire`);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.equal(answer.body['time_left'], 0);
  }
  for (const id of ids) await finished(id, 'succeeded');
  assert.equal((await send('POST', `/timers/${ids[0]}/fire`, { delay: 1 })).status, 400);

  answerWith((path) => (path.startsWith('/flaky') ? 503 : 200));
  const url = new URL('/flaky', receiver.url).href;
  const retry = { max_attempts: 5, base: 3_600 };
  const { body } = await app.post({ url, retry });
  const id = Number(body['id']);
  await finished(id, 'retrying');
  answerWith(() => 200);
  assert.equal((await send('POST', `/timers/${id}/fire`)).status, 200);
  const timer = await finished(id, 'succeeded');
  assert.partialDeepStrictEqual(timer['attempts'], [{ number: 1 }, { number: 2, status: 200 }]);
});

test('a failed or cancelled timer is tried again, its attempts counted on; others are not', async () => {
  answerWith((path) => (path.startsWith('/down') ? 500 : 200));
  const url = new URL('/down', receiver.url).href;
  const { body } = await app.post({ url, labels: ['kept'], expires_after: 3_600 });
  const id = Number(body['id']);
  const failed = await finished(id, 'failed');
  assert.equal(failed['failure_code'], 'attempts_exhausted');
  answerWith(() => 200);
  const racers = await Promise.all(
    Array.from({ length: 5 }, () => send('POST', `/timers/${id}/retry`, { delay: 0.2 })),
  );
  assert.deepEqual(
    racers.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 409, 409, 409, 409],
  );
  const refused = racers.find(({ status }) => status === 409);
  assert.equal(refused?.body['code'], 'not_retryable');
  const timer = await finished(id, 'succeeded');
  assert.partialDeepStrictEqual(timer['attempts'], [
    { number: 1, status: 500 },
    { number: 2, status: 200 },
  ]);
  assert.partialDeepStrictEqual(timer, { labels: ['kept'], version: 2 });
  assert.equal(
    Date.parse(String(timer['expires_at'])),
    Date.parse(String(timer['due_at'])) + 3_600_000,
  );
  assert.equal((await send('POST', `/timers/${id}/retry`)).status, 409, 'succeeded');

  const cancelled = await created({ delay: 3_600 });
  await app.cancel(cancelled);
  assert.equal((await send('POST', `/timers/${cancelled}/retry`)).status, 200);
  await finished(cancelled, 'succeeded');
  assert.equal((await send('POST', `/timers/${cancelled}/retry`, { url })).status, 400);
});
