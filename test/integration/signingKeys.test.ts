import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem } from '../support/http.ts';
import { startReceiver, type Arrival } from '../support/receiver.ts';
import { isTaken, signingKeysOf, type Key } from '../support/signingKeys.ts';

const db = await createTestDatabase();
const receiver = await startReceiver((res, { path }) => {
  if (path.startsWith('/moved/')) res.writeHead(303, { location: '/elsewhere' });
  res.end();
});
const environment = { ALLOW_REDIRECTS: 'true' };
const app = await startTestApp(db.url, environment);
const other = await startTestApp(db.url, environment);
after(async () => {
  await app[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

const { call, made, removeAll } = signingKeysOf(app);

/** A timer that is due now, as it arrives; of a path of its own. */
async function arrival(fields: object = {}, to: TestApp = app): Promise<Arrival> {
  const path = `/${Math.random()}`;
  const answer = await to.post({ url: receiver.url + path, append_id: false, ...fields });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return eventually('it arrives', () => receiver.arrivals.find((each) => each.path === path));
}

const schemesOf = ({ headers }: Arrival) =>
  String(headers['webhook-signature'] ?? '')
    .split(' ')
    .filter(Boolean)
    .map((signature) => signature.split(',')[0]);

/** Until every process signs with these keys alone, newest first. */
async function allSign(keys: readonly Key[]): Promise<number> {
  const sinceMs = performance.now();
  const isSo = async (to: TestApp) => {
    const it = await arrival({}, to);
    if (schemesOf(it).join() !== keys.map(({ scheme }) => scheme).join()) return false;
    const taken = keys.map((key) => isTaken(key.secret ?? key.public_key ?? '', it));
    return (await Promise.all(taken)).every(Boolean);
  };
  await eventually(`${keys.length} keys sign`, async () =>
    (await Promise.all([app, other].map(isSo))).every(Boolean),
  );
  return performance.now() - sinceMs;
}

test('receivers verify deliveries with standardwebhooks and the SDK, whatever body and method', async () => {
  await removeAll();
  assert.deepEqual(schemesOf(await arrival()), [], 'without a key nothing is signed');
  const v1 = await made();
  const v1a = await made({ scheme: 'v1a' });
  assert.match(String(v1.secret), /^whsec_/);
  assert.deepEqual([v1.public_key, v1a.secret], [null, null]);
  await allSign([v1a, v1]);
  for (const fields of [
    { json: { a: 'é' } },
    { body: 'not JSON' },
    {},
    { method: 'GET' },
    { method: 'PUT', body: 'x'.repeat(40_000) },
    { body: 'ü', headers: { 'user-agent': 'mine', authorization: 'secret' } },
  ]) {
    const it = await arrival(fields);
    assert.ok(await isTaken(v1.secret, it), JSON.stringify(fields));
    assert.ok(await isTaken(v1a.public_key, it), JSON.stringify(fields));
    const changed = { ...it, body: `${it.body} ` };
    assert.ok(!(await isTaken(v1.secret, changed)));
    assert.ok(!(await isTaken(v1a.public_key, changed)));
    const later = { ...it.headers, 'webhook-id': `${String(it.headers['webhook-id'])}0` };
    assert.ok(!(await isTaken(v1.secret, { ...it, headers: later })));
  }
});

test('every attempt is signed anew, with its own timestamp', async () => {
  await removeAll();
  const key = await made();
  const { secret } = key;
  await allSign([key]);
  let isDown = true;
  await using flaky = await startReceiver((res) => {
    res.statusCode = isDown ? 500 : 200;
    res.end();
    isDown = false;
  });
  await app.post({ url: flaky.url, retry: { base: 1.1, factor: 1, jitter: 0 } });
  const [first, second] = await flaky.arrived(2);
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(first.headers['webhook-id'], second.headers['webhook-id']);
  assert.notEqual(first.headers['webhook-timestamp'], second.headers['webhook-timestamp']);
  for (const each of [first, second]) assert.ok(await isTaken(secret, each));
});

test('a redirect to the same origin that drops the body is signed for what it sends', async () => {
  await removeAll();
  const key = await made();
  const { secret } = key;
  await allSign([key]);
  await app.post({ url: `${receiver.url}/moved`, body: 'x' });
  const hop = await eventually('it is followed', () =>
    receiver.arrivals.find(({ path }) => path === '/elsewhere'),
  );
  assert.deepEqual([hop.method, hop.body], ['GET', '']);
  assert.ok(await isTaken(secret, hop));
});

test('own secrets are taken and checked, and never told of in an error', async () => {
  await removeAll();
  const own = `whsec_${Buffer.alloc(24, 'canary').toString('base64')}`;
  const seed = `whsk_${Buffer.alloc(32, 'canary').toString('base64')}`;
  assert.equal((await made({ secret: own })).secret, own);
  const { scheme, secret, public_key } = await made({ secret: seed });
  assert.deepEqual([scheme, secret], ['v1a', null]);
  assert.match(String(public_key), /^whpk_/);
  for (const body of [
    { secret: 'whsec_Y2FuYXJ5' },
    { secret: own.slice('whsec_'.length) },
    { secret: `${own}!` },
    { secret: own, scheme: 'v1a' },
    { secret: seed, scheme: 'v1' },
    { secret: 7 },
    { scheme: 'v2' },
    { secret: own, other: 1 },
  ]) {
    const answer = await call('POST', '/signing-keys', body);
    assertProblem(answer, { status: 400, code: 'validation_failed' });
    assert.doesNotMatch(answer.text, /Y2FuYXJ5|Y2FuYXJj/, JSON.stringify(body));
  }
  const listed = await call('GET', '/signing-keys');
  assert.doesNotMatch(listed.text, /whsec_|whsk_/);
  assert.equal((listed.body['signing_keys'] as Key[]).length, 2);
  const rows = await sql<[string]>(db.database, 'SELECT k::text FROM belfry.signing_keys k');
  assert.doesNotMatch(rows.join(), /Y2FuYXJ5|whsec_/);
});

test('a project has five live keys at most, however many are asked for at once', async () => {
  await removeAll();
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, at) =>
      call('POST', '/signing-keys', {}, at % 2 === 0 ? app : other),
    ),
  );
  const count = (wanted: number) => answers.filter(({ status }) => status === wanted).length;
  assert.deepEqual([count(201), count(403)], [5, 7]);
  const refused = answers.find(({ status }) => status === 403);
  assert.partialDeepStrictEqual(refused?.body, {
    code: 'quota_exceeded',
    quota: 'signing_keys',
    limit: 5,
    used: 5,
  });
  const { body } = await call('GET', '/signing-keys');
  const keys = body['signing_keys'] as Key[];
  const path = `/signing-keys/${keys[0]?.id}`;
  assertProblem(await call('POST', `${path}/rotate`), { status: 403, code: 'quota_exceeded' });
  assert.equal((await call('DELETE', path)).status, 200);
  assertProblem(await call('DELETE', path), { status: 404, code: 'signing_key_not_found' });
  // What has retired gives its place.
  const old = await made({ overlap: 0 }, `/signing-keys/${keys[1]?.id}/rotate`);
  await made();
  assertProblem(await call('POST', '/signing-keys'), { status: 403, code: 'quota_exceeded' });
  assertProblem(await call('POST', `/signing-keys/${keys[1]?.id}/rotate`), {
    status: 404,
    code: 'signing_key_not_found',
  });
  assert.equal(old.retires_at, null);
});

test('a new key and a deleted one hold in every process within a second', async () => {
  await removeAll();
  await allSign([]);
  const key = await made();
  const startedMs = await allSign([key]);
  await call('DELETE', `/signing-keys/${key.id}`);
  const endedMs = await allSign([]);
  // Bounded by the code at 900 ms and a statement; a busy machine may add to that.
  assert.ok(startedMs < 3_000 && endedMs < 3_000, `${startedMs} ms, ${endedMs} ms`);
});

test('a rotation under traffic costs no delivery, while the receiver changes over during the overlap', async () => {
  await removeAll();
  const old = await made();
  await allSign([old]);
  let { secret } = old;
  let refused = 0;
  await using strict = await startReceiver((res, it) => {
    void isTaken(secret, it).then((isGood) => {
      if (!isGood) refused += 1;
      res.writeHead(isGood ? 200 : 401).end();
    });
  });
  let sent = 0;
  const traffic = new AbortController();
  const sending = (async () => {
    while (!traffic.signal.aborted) {
      await Promise.all(
        [app, other].map((to) => to.post({ url: strict.url, json: { n: sent++ }, delay: 0.05 })),
      );
    }
  })();
  const more = async () => strict.arrived(strict.arrivals.length + 40);
  await more();
  const next = await made({ overlap: 8 }, `/signing-keys/${old.id}/rotate`);
  // A receiver changes over when every process signs with both: not within the first second.
  await allSign([next, old]);
  await more();
  ({ secret } = next);
  await more();
  await allSign([next]);
  await more();
  traffic.abort();
  await sending;
  await strict.arrived(sent);
  assert.equal(refused, 0);
  assert.ok(await isTaken(next.secret, strict.arrivals.at(-1) as Arrival));
  const { body } = await call('GET', '/signing-keys');
  assert.deepEqual(
    (body['signing_keys'] as Key[]).map(({ id }) => id),
    [next.id],
  );
});

test('anybody may read the public keys of a project, and learns nothing else', async () => {
  await removeAll();
  const path = (project: number | string) => `/.well-known/belfry/${project}/signing-keys`;
  await made();
  const none = await eventually('the old answer is forgotten', async () => {
    const answer = await call('GET', path(1));
    return answer.status === 404 ? answer : undefined;
  });
  const nobody = await call('GET', path(999));
  assertProblem(none, { status: 404, code: 'signing_key_not_found' });
  assert.equal(none.text.replace('project 1', ''), nobody.text.replace('project 999', ''));
  assert.equal((await call('GET', path('x'))).status, 404);
  const key = await made({ scheme: 'v1a' });
  const shown = await eventually('it is published', async () => {
    const answer = await call('GET', path(1), undefined, other);
    return answer.status === 200 ? answer : undefined;
  });
  assert.deepEqual(shown.body, {
    keys: [{ id: key.id, public_key: key.public_key, retires_at: null }],
  });
});

test('nothing goes out unsigned while a key cannot be decrypted, and it does once it is gone', async () => {
  await removeAll();
  const key = await made();
  const { id } = key;
  await allSign([key]);
  await sql(db.database, `UPDATE belfry.signing_keys SET box = '1.test.' || repeat('A', 80)`);
  await eventually('attempts fail', async () => {
    const { body } = await app.post({
      url: `${receiver.url}/unsigned`,
      retry: { max_attempts: 1 },
    });
    const path = `/timers/${String(body['id'])}`;
    const ended = await eventually('it has ended', async () => {
      const timer = await app.get(path);
      return timer.body['finished_at'] === null ? undefined : timer.body;
    });
    return JSON.stringify(ended['attempts']).includes('secret_unreadable');
  });
  for (const each of receiver.arrivals.filter(({ path }) => path.startsWith('/unsigned'))) {
    assert.deepEqual(schemesOf(each), ['v1']);
  }
  const before = receiver.arrivals.length;
  await app.post({ url: `${receiver.url}/unsigned`, retry: { base: 0.3, jitter: 0, factor: 1 } });
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(receiver.arrivals.length, before);
  await call('DELETE', `/signing-keys/${id}`);
  await receiver.arrived(before + 1);
});

test('each deed is in the audit log, with no secret, in its own commit', async () => {
  await removeAll();
  const first = await made();
  const second = await made({ overlap: 60 }, `/signing-keys/${first.id}/rotate`);
  await call('DELETE', `/signing-keys/${second.id}`);
  const rows = await sql<[string, string, string]>(
    db.database,
    `SELECT action, target, detail FROM belfry.audit_log ORDER BY id DESC LIMIT 3`,
  );
  assert.deepEqual(
    rows.map((row) => row.slice(0, 2).join(' ')),
    [
      `signing_key.delete ${second.id}`,
      `signing_key.rotate ${first.id}`,
      `signing_key.create ${first.id}`,
    ],
  );
  assert.deepEqual(JSON.parse(rows[1]?.[2] ?? ''), { overlap: 60, next: second.id });
  assert.doesNotMatch(rows.join(), /whsec_/);
});

test('without SECRET_KEYS no key is made, and the answer says what is missing', async () => {
  await using bareDb = await createTestDatabase();
  await using bare = await startTestApp(bareDb.url, { SECRET_KEYS: 'none' });
  const refused = await call('POST', '/signing-keys', {}, bare);
  assertProblem(refused, { status: 400, code: 'secrets_not_configured' });
  assert.match(refused.text, /SECRET_KEYS/);
  const { body } = await call('GET', '/signing-keys', undefined, bare);
  assert.deepEqual(body['signing_keys'], []);
});
