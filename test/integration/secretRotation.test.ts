import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verifyWebhook } from '../../packages/client/src/index.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createAuthority } from '../support/certificates.ts';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';
import { secretKeysText } from '../support/secretKeys.ts';

const secret = 's3cr3t-value-0123456789';

const start = (database: TestDatabase, keys: string) =>
  startTestApp(database.url, { SECRET_KEYS: keys });

async function send(app: TestApp, method: string, path: string, body?: unknown) {
  return request(`${app.url}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function create(app: TestApp, fields: object): Promise<number> {
  const answer = await send(app, 'POST', '/timers', fields);
  assert.equal(answer.status, 201, answer.text);
  return Number(answer.body['id']);
}

/** All steps of a rotation: their sums, and what the last one said. */
async function rotate(app: TestApp) {
  let [examined, changed, steps] = [0, 0, 0];
  for (let cursor: unknown; ;) {
    const answer = await send(
      app,
      'POST',
      '/secrets/rotate',
      cursor === undefined ? {} : { cursor },
    );
    assert.equal(answer.status, 200, answer.text);
    examined += Number(answer.body['examined']);
    changed += Number(answer.body['changed']);
    steps += 1;
    ({ cursor } = answer.body);
    if (answer.body['done'] === true) return { ...answer.body, examined, changed, steps };
  }
}

/** Everything that is encrypted, by the key that it is under; `plain` for what is not. */
async function keysInUse(database: TestDatabase): Promise<Record<string, number>> {
  const rows = await sql<[string, number]>(
    database.database,
    `SELECT key, count(*) FROM (
       SELECT split_part(box, '.', 2) AS key FROM belfry.secrets
       UNION ALL
       SELECT split_part(tls, '.', 2) FROM belfry.destinations WHERE tls IS NOT NULL
       UNION ALL
       SELECT split_part(box, '.', 2) FROM belfry.signing_keys
       UNION ALL
       SELECT coalesce(split_part(h.value ->> 'sealed', '.', 2), 'plain')
       FROM (SELECT headers FROM belfry.timers UNION ALL SELECT headers FROM belfry.history
         UNION ALL SELECT headers FROM belfry.destinations) AS t,
         jsonb_each(t.headers) AS h WHERE h.key <> 'x-plain'
     ) AS keys GROUP BY key`,
  );
  return Object.fromEntries(rows);
}

test('a rotation puts everything under the first key, and the old one can go', async () => {
  await using database = await createTestDatabase();
  await using receiver = await startReceiver();
  const url = `${receiver.url}/x`;
  const headers = { authorization: secret, 'x-plain': 'x' };
  const ids: number[] = [];
  let signingSecret = '';
  {
    await using app = await start(database, secretKeysText('old'));
    await send(app, 'PUT', '/secrets/a', { value: secret });
    const { cert: certificate, key } = createAuthority().issue(['one']);
    const tls = { certificate, key };
    for (const [pattern, settings] of Object.entries({
      '*': { headers: { cookie: secret } },
      'a.example.com': { tls },
      'b.example.com': { tls, headers },
      'c.example.com': { timeout: 1 },
    })) {
      const { status, text } = await send(app, 'PUT', `/destinations/${pattern}`, settings);
      assert.equal(status, 201, text);
    }
    const signing = await send(app, 'POST', '/signing-keys');
    signingSecret = String(signing.body['secret']);
    for (let index = 0; index < 5; index++) ids.push(await create(app, { url, headers, hours: 1 }));
    const done = await create(app, { url, headers });
    await receiver.arrived(1);
    await eventually('it is in history', async () => {
      const { body } = await send(app, 'GET', `/timers/${done}`);
      return body['finished_at'] !== null;
    });
    const cancelled = await create(app, { url, headers, hours: 1 });
    await send(app, 'DELETE', `/timers/${cancelled}`);
    ids.push(cancelled);
    await create(app, { url, headers: { 'x-plain': 'x' }, hours: 1 });
  }
  // From before there was a key.
  await sql(
    database.database,
    `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url, headers)
     SELECT n, 1, now() + interval '1 hour', now(), now(), $1, $2::jsonb
     FROM generate_series(1000001, 1002500) AS n`,
    [url, JSON.stringify({ cookie: secret })],
  );
  assert.deepEqual(await keysInUse(database), { old: 13, plain: 2_500 });

  const refused = start(database, secretKeysText('new'));
  await assert.rejects(refused, /encrypted under old, which SECRET_KEYS has not/);
  {
    await using app = await start(database, secretKeysText('new', 'old'));
    const result = await rotate(app);
    assert.partialDeepStrictEqual(result, {
      changed: 2_512,
      left: 0,
      key_id: 'new',
      retired_key_ids: ['old'],
    });
    assert.deepEqual(await keysInUse(database), { new: 2_513 });
    const again = await rotate(app);
    assert.partialDeepStrictEqual(again, { changed: 0, left: 0, retired_key_ids: [] });
    assert.ok(again.examined >= 2_510);
    const audit = await send(app, 'GET', '/audit');
    assert.equal(audit.text.match(/secrets\.rotate/g)?.length, 2);
  }
  await using app = await start(database, secretKeysText('new'));
  const before = receiver.arrivals.length;
  for (const id of ids.slice(0, 5)) await send(app, 'POST', `/timers/${id}/fire`);
  await send(app, 'POST', `/timers/${ids[5]}/retry`);
  const arrivals = (await receiver.arrived(before + 6)).slice(before);
  for (const { headers: sent, body } of arrivals) {
    assert.equal(sent.authorization, secret);
    assert.equal(sent.cookie, secret, 'of the destination');
    await verifyWebhook(signingSecret, sent, body);
  }
  const used = await create(app, { url, headers: { 'x-plain': '{{secret:a}}' } });
  await receiver.arrived(before + 7);
  assert.equal(
    receiver.arrivals.find(({ path }) => path.endsWith(`/${used}`))?.headers['x-plain'],
    secret,
  );
});

test('under traffic nothing is lost: what is changed meanwhile stays changed, all is sent', async () => {
  await using database = await createTestDatabase();
  await using receiver = await startReceiver();
  const url = `${receiver.url}/x`;
  const edited: number[] = [];
  {
    await using app = await start(database, secretKeysText('old'));
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        edited.push(await create(app, { url, headers: { cookie: secret }, hours: 1 }));
      }),
    );
  }
  await using app = await start(database, secretKeysText('new', 'old'));
  await using other = await start(database, secretKeysText('new', 'old'));
  const stopped = new AbortController();
  let firing = 0;
  async function edits(): Promise<void> {
    for (const id of edited) {
      const patch = id % 2 === 0 ? { labels: ['a'] } : { headers: { cookie: `next-${id}` } };
      const to = id % 3 === 0 ? app : other;
      assert.equal((await send(to, 'PATCH', `/timers/${id}`, patch)).status, 200);
    }
  }
  async function fires(): Promise<void> {
    while (!stopped.signal.aborted) {
      await create(other, {
        url: `${receiver.url}/fired`,
        headers: { cookie: secret },
        delay: 0.1,
      });
      firing += 1;
    }
  }
  async function rotations(): Promise<void> {
    for (let round = 0; round < 5; round++) await rotate(app);
  }
  const firesOn = fires();
  await Promise.all([edits(), rotations()]);
  stopped.abort();
  await firesOn;
  const last = await rotate(app);
  assert.partialDeepStrictEqual(last, { left: 0 });
  const { old, plain } = await keysInUse(database);
  assert.deepEqual([old, plain], [undefined, undefined]);

  await receiver.arrived(firing);
  for (const id of edited) await send(app, 'POST', `/timers/${id}/fire`);
  await receiver.arrived(firing + edited.length);
  for (const arrival of receiver.arrivals) {
    const id = Number(/\d+$/.exec(arrival.path)?.[0]);
    const expected = arrival.path.startsWith('/x') && id % 2 === 1 ? `next-${id}` : secret;
    assert.equal(arrival.headers.cookie, expected, arrival.path);
  }
});

test('what cannot be decrypted is left and told, and keeps its key from being given up', async () => {
  await using database = await createTestDatabase();
  {
    await using app = await start(database, secretKeysText('old'));
    await send(app, 'PUT', '/secrets/a', { value: secret });
    await send(app, 'PUT', '/secrets/b', { value: secret });
  }
  await sql(
    database.database,
    `UPDATE belfry.secrets SET box = (SELECT box FROM belfry.secrets WHERE name = 'a') WHERE name = 'b'`,
  );
  await using app = await start(database, secretKeysText('new', 'old'));
  assert.partialDeepStrictEqual(await rotate(app), { changed: 1, left: 1, retired_key_ids: [] });
  assert.deepEqual(await keysInUse(database), { new: 1, old: 1 });
});

test('a key that is another than the one of its id is told at the start', async () => {
  await using database = await createTestDatabase();
  await (await start(database, secretKeysText('a')))[Symbol.asyncDispose]();
  const other = secretKeysText('b').replace('b:', 'a:');
  await assert.rejects(
    start(database, other),
    /another key than the one that SECRET_KEYS has as a/,
  );
  await assert.rejects(start(database, 'none'), /encrypted under a, which SECRET_KEYS has not/);
});

test('a cursor that no step gave is refused', async () => {
  await using database = await createTestDatabase();
  await using app = await start(database, secretKeysText('a'));
  for (const cursor of ['', 'x', '6.0.0.1', '1.0.0.a', '0.0.0.A', 7]) {
    const answer = await send(app, 'POST', '/secrets/rotate', { cursor });
    assertProblem(answer, { status: 400, code: 'validation_failed', field: 'cursor' });
  }
});
