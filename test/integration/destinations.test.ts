import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { startTestApp } from '../support/app.ts';
import { createAuthority } from '../support/certificates.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, request } from '../support/http.ts';
import { startTwoApps } from '../support/twoApps.ts';

const two = await startTwoApps({});
const { app, other, receiver, db } = two;
after(() => two[Symbol.asyncDispose]());
const host = `127.0.0.1:${receiver.port}`;

async function send(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
  to = app,
) {
  return request(`${to.url}/destinations${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

const at = (pattern: string) => `/${encodeURIComponent(pattern)}`;

async function put(pattern: string, settings: object): Promise<Record<string, unknown>> {
  const answer = await send('PUT', at(pattern), settings);
  assert.ok(answer.status < 300, answer.text);
  return answer.body;
}

async function clear(): Promise<void> {
  const { body } = await send('GET', '');
  for (const { pattern } of body['destinations'] as { pattern: string }[]) {
    assert.equal((await send('DELETE', at(pattern))).status, 200);
  }
}

test('settings are created, replaced as a whole, changed in part, listed and deleted, each in the audit log', async () => {
  const made = await send('PUT', at('API.Example.com'), {
    concurrency: 5,
    rate: { count: 100, per: 'minute' },
    timeout: 'PT1.5S',
    headers: { 'X-Mine': ['a', 'b'], authorization: 'Bearer hidden-value' },
  });
  assert.equal(made.status, 201, made.text);
  assert.partialDeepStrictEqual(made.body, {
    pattern: 'api.example.com',
    version: 1,
    concurrency: 5,
    rate: { count: 100, per: 'minute' },
    timeout: 1.5,
    headers: { 'x-mine': ['a', 'b'], authorization: '[secret]' },
    secret_headers: ['authorization'],
    tls: null,
    is_paused: false,
  });
  const read = await send('GET', at('api.example.COM.'));
  assert.deepEqual(read.body, made.body);
  assert.equal(read.headers.get('etag'), '"1"');

  const patched = await send('PATCH', at('api.example.com'), { timeout: null, concurrency: 6 });
  assert.partialDeepStrictEqual(patched.body, { version: 2, timeout: null, concurrency: 6 });
  assert.deepEqual(patched.body['rate'], { count: 100, per: 'minute' });
  const replaced = await send('PUT', at('api.example.com'), { timeout: 2 });
  assert.equal(replaced.status, 200);
  assert.partialDeepStrictEqual(replaced.body, { concurrency: null, rate: null, headers: null });

  await put('*.example.com', {});
  assert.equal((await send('POST', `${at('*.example.com')}/pause`)).body['is_paused'], true);
  assert.equal((await send('POST', `${at('*.example.com')}/pause`)).body['version'], 2);
  assert.equal((await send('PUT', at('*.example.com'), {})).body['is_paused'], true);
  assert.equal((await send('POST', `${at('*.example.com')}/resume`)).body['is_paused'], false);
  const { body } = await send('GET', '');
  assert.deepEqual(
    (body['destinations'] as { pattern: string }[]).map(({ pattern }) => pattern),
    ['*.example.com', 'api.example.com'],
  );
  await clear();
  for (const [method, path] of [
    ['GET', at('api.example.com')],
    ['GET', at('no pattern')],
    ['DELETE', at('api.example.com')],
    ['PATCH', at('api.example.com')],
    ['POST', `${at('api.example.com')}/pause`],
    ['POST', `${at('api.example.com')}/resume`],
  ] as const) {
    const answer = await send(method, path, method === 'PATCH' ? { timeout: 1 } : undefined);
    assertProblem(answer, { status: 404, code: 'destination_not_found' });
  }
  const audit = await request(`${app.url}/audit`);
  assert.ok(!audit.text.includes('hidden-value'));
  assert.deepEqual(
    (audit.body['entries'] as { action: string; target: string }[]).map(
      ({ action, target }) => `${action} ${target}`,
    ),
    [
      'destination.set api.example.com',
      'destination.set api.example.com',
      'destination.set api.example.com',
      'destination.set *.example.com',
      'destination.pause *.example.com',
      'destination.set *.example.com',
      'destination.resume *.example.com',
      'destination.delete *.example.com',
      'destination.delete api.example.com',
    ],
  );
});

test('If-Match: only what has been read is changed', async () => {
  await put('match.example.com', {});
  const stale = { 'if-match': '"2"' };
  const path = at('match.example.com');
  for (const [method, body] of [['PUT', {}], ['PATCH', { timeout: 1 }], ['DELETE']] as const) {
    assertProblem(await send(method, path, body, stale), { status: 412, code: 'version_mismatch' });
  }
  assertProblem(await send('PUT', at('none.example.com'), {}, stale), {
    status: 412,
    code: 'version_mismatch',
  });
  assert.equal((await send('PUT', path, {}, { 'if-match': '"1"' })).status, 200);
  assert.equal((await send('DELETE', path, undefined, stale)).status, 200);
});

test('what is no setting is refused, names the field and changes nothing', async () => {
  const count = async () => sql(db.database, 'SELECT count(*) FROM belfry.destinations');
  const before = await count();
  for (const [settings, field] of [
    [{ concurrency: 0 }, 'concurrency'],
    [{ concurrency: 1.5 }, 'concurrency'],
    [{ concurrency: '5' }, 'concurrency'],
    [{ rate: 5 }, 'rate'],
    [{ rate: { count: 0, per: 'second' } }, 'rate.count'],
    [{ rate: { count: 1 } }, 'rate.per'],
    [{ rate: { count: 1, per: 'day' } }, 'rate.per'],
    [{ rate: { count: 1, per: 'hour', burst: 1 } }, 'rate.burst'],
    [{ timeout: 0 }, 'timeout'],
    [{ timeout: 'soon' }, 'timeout'],
    [{ timeout: 100_000 }, 'timeout'],
    [{ headers: { host: 'x' } }, 'headers.host'],
    [{ headers: { 'webhook-id': 'x' } }, 'headers.webhook-id'],
    [{ headers: { 'x-a': 'a\nb' } }, 'headers.x-a'],
    [{ headers: { cookie: '[secret]' } }, 'headers.cookie'],
    [{ headers: { 'x-a': '{{secret:nobody}}' } }, 'headers.x-a'],
    [{ secret_headers: ['x-a'] }, 'secret_headers'],
    [{ headers: { 'x-b': '1' }, secret_headers: ['x-a'] }, 'secret_headers'],
    [{ tls: {} }, 'tls'],
    [{ tls: { ca: 'x' } }, 'tls.ca'],
    [{ tls: { password: 'x' } }, 'tls.password'],
  ] as const) {
    const answer = await send('PUT', at('a.example.com'), settings);
    assertProblem(answer, { status: 400, code: 'validation_failed', field });
  }
  for (const pattern of ['a b', '*.*', '*.a:80', 'a:0', 'http://a', '*.127.0.0.1', 'a..b']) {
    const answer = await send('PUT', at(pattern), {});
    assertProblem(answer, { status: 400, code: 'validation_failed', field: 'pattern' });
  }
  assertProblem(await send('PUT', at('a.example.com'), { colour: 'red' }), {
    status: 400,
    code: 'validation_failed',
  });
  assert.deepEqual(await count(), before);
});

test('at most 200 a project, also when many are made at once', async () => {
  await clear();
  await sql(
    db.database,
    `INSERT INTO belfry.destinations (project_id, pattern)
     SELECT 1, 'h' || n || '.example.com' FROM generate_series(1, 190) AS n`,
  );
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      send('PUT', at(`many${n}.example.com`), {}, {}, n % 2 === 0 ? app : other),
    ),
  );
  assert.equal(answers.filter(({ status }) => status === 201).length, 10);
  const refused = answers.find(({ status }) => status !== 201);
  assert.ok(refused !== undefined);
  assertProblem(refused, { status: 403, code: 'quota_exceeded' });
  assert.equal((await send('PUT', at('h1.example.com'), { timeout: 1 })).status, 200);
  await clear();
});

/** What the next attempt of each process is like, by a header that the receiver saw. */
async function seenBy(header: string, fields: Record<string, unknown> = {}): Promise<unknown[]> {
  const seen = [];
  for (const to of [app, other]) {
    const id = await two.created(fields, to);
    await two.finished(id, 'succeeded');
    seen.push(two.arrivals(id)[0]?.headers[header]);
  }
  return seen;
}

test('what a PUT says holds at the next attempts of both of two processes within a second', async () => {
  const changes: (readonly [what: () => Promise<unknown>, expected: string | undefined])[] = [
    [() => put('*', { headers: { 'x-from': 'all' } }), 'all'],
    [() => put('127.0.0.1', { headers: { 'x-from': 'host' } }), 'host'],
    [() => put(host, { headers: { 'x-from': 'port' } }), 'port'],
    [() => put(host, { timeout: 5 }), undefined],
    [() => send('DELETE', at(host)), 'host'],
    [() => send('DELETE', at('127.0.0.1')), 'all'],
    [() => send('DELETE', at('*')), undefined],
  ];
  for (const [change, expected] of changes) {
    await change();
    const changedAtMs = Date.now();
    await eventually(`both send ${expected}`, async () =>
      (await seenBy('x-from')).every((value) => value === expected),
    );
    const tookMs = Date.now() - changedAtMs;
    // Bounded by the code at 500 ms and a look; a busy machine may add to that.
    assert.ok(tookMs < 3_000, `${tookMs} ms`);
  }
});

test('headers are added where the timer has none of that name, secret ones opened, and not kept from an echo', async () => {
  await request(`${app.url}/secrets/named`, {
    method: 'PUT',
    body: JSON.stringify({ value: 'named-value-1' }),
  });
  await put(host, {
    headers: {
      authorization: 'Bearer of-the-destination',
      'x-named': '{{secret:named}}',
      'x-plain': 'destination',
      'x-hidden': 'hidden-1',
    },
    secret_headers: ['x-hidden'],
  });
  const id = await two.created({ headers: { 'X-Plain': 'timer', cookie: 'own=1' } });
  await two.finished(id, 'succeeded');
  assert.partialDeepStrictEqual(two.arrivals(id)[0]?.headers, {
    authorization: 'Bearer of-the-destination',
    'x-named': 'named-value-1',
    'x-plain': 'timer',
    'x-hidden': 'hidden-1',
    cookie: 'own=1',
  });
  const { text } = await request(`${app.url}/timers/${id}`);
  assert.ok(!text.includes('destination') && !text.includes('hidden'), 'they are not the timer’s');
  const kept = await send('PUT', at(host), {
    headers: { 'x-hidden': '[secret]', authorization: '[secret]' },
  });
  assert.deepEqual(kept.body['secret_headers'], ['authorization', 'x-hidden']);
  await eventually('the others are gone', async () => {
    const next = await two.created({});
    await two.finished(next, 'succeeded');
    const headers = two.arrivals(next)[0]?.headers;
    if (headers?.['x-plain'] !== undefined) return false;
    assert.partialDeepStrictEqual(headers, {
      authorization: 'Bearer of-the-destination',
      'x-hidden': 'hidden-1',
    });
    return true;
  });
  const [dump] = await sql<[string]>(
    db.database,
    'SELECT jsonb_agg(d)::text FROM belfry.destinations d',
  );
  assert.ok(!/hidden-1|of-the-destination/.test(dump?.[0] ?? ''));

  // A record of another place is not opened.
  await sql(
    db.database,
    `UPDATE belfry.destinations SET headers = jsonb_set(headers, '{x-hidden}', headers -> 'authorization')`,
  );
  await send('POST', `${at(host)}/pause`);
  await send('POST', `${at(host)}/resume`);
  const broken = await two.created({ retry: { max_attempts: 1 } });
  const { attempts } = await two.finished(broken, 'failed');
  assert.partialDeepStrictEqual((attempts as object[])[0], { error_code: 'secret_unreadable' });
  await clear();
});

test('the timeout is of timers that say none', async () => {
  const held: (() => void)[] = [];
  two.answerWith((path) =>
    path.startsWith('/slow') ? new Promise((resolve) => held.push(() => resolve(200))) : 200,
  );
  await put(host, { timeout: 0.3 });
  const slow = { url: `${receiver.url}/slow`, retry: { max_attempts: 1 } };
  const id = await two.created(slow);
  const own = await two.created({ ...slow, timeout: 20 });
  const { attempts } = await two.finished(id, 'failed');
  assert.partialDeepStrictEqual((attempts as object[])[0], { error_code: 'timeout', status: null });
  await eventually('both arrived', () => held.length === 2);
  for (const answer of held) answer();
  await two.finished(own, 'succeeded');
  await clear();
});

test('mutual TLS end to end: certificate and authority of the destination, never shown, each change at once', async () => {
  const servers = createAuthority();
  const clients = createAuthority();
  const seen: string[] = [];
  const server = createServer(
    { ...servers.issue(['127.0.0.1']), ca: clients.cert, requestCert: true },
    (req, res) => {
      seen.push(String((req.socket as TLSSocket).getPeerCertificate().subject.CN));
      res.end();
    },
  );
  server.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const pattern = `127.0.0.1:${port}`;
  const fields = { url: `https://${pattern}/`, retry: { max_attempts: 1 } };
  const { cert: certificate, key } = clients.issue(['one']);
  try {
    const made = await put(pattern, { tls: { certificate, key, ca: servers.cert } });
    assert.partialDeepStrictEqual(made['tls'], { certificate: { subject: 'CN=one' } });
    assert.ok(!JSON.stringify(made).includes('-----'));
    await two.finished(await two.created(fields), 'succeeded');
    // A change of other settings leaves it, and a rotation only encrypts it anew.
    assert.notEqual((await send('PATCH', at(pattern), { timeout: 5 })).body['tls'], null);
    await two.finished(await two.created(fields), 'succeeded');
    const next = clients.issue(['two']);
    await put(pattern, { tls: { certificate: next.cert, key: next.key, ca: servers.cert } });
    await two.finished(await two.created(fields), 'succeeded');
    assert.deepEqual(seen, ['one', 'one', 'two']);

    const refused = async (settings: object, errorCode: RegExp) => {
      await put(pattern, settings);
      const { attempts } = await two.finished(await two.created(fields), 'failed');
      const [attempt] = attempts as { error_code: string }[];
      assert.match(attempt?.error_code ?? '', errorCode);
    };
    await refused({ tls: { ca: servers.cert } }, /^(?:tls_failed|connection_reset)$/);
    await refused({ tls: { certificate, key, ca: clients.cert } }, /^tls_untrusted$/);
    await refused({}, /^tls_untrusted$/);
    assert.equal(seen.length, 3);
  } finally {
    server.closeAllConnections();
    server.close();
    await clear();
  }
});

test('a certificate that has expired, or a key of another, is refused and names the field', async () => {
  const authority = createAuthority();
  const { cert: certificate, key } = authority.issue(['one']);
  const { cert: expired, key: expiredKey } = authority.issue(['old'], {
    to: new Date(Date.now() - 3_600_000),
  });
  const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey;
  const locked = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const pem = { type: 'pkcs8', format: 'pem' } as const;
  for (const [tls, field] of [
    [{ certificate: expired, key: expiredKey }, 'tls.certificate'],
    [{ ca: expired }, 'tls.ca'],
    [{ certificate, key: expiredKey }, 'tls.key'],
    [{ certificate }, 'tls.key'],
    [{ key, ca: authority.cert }, 'tls.certificate'],
    [{ certificate: key, key }, 'tls.certificate'],
    [{ certificate, key: certificate }, 'tls.key'],
    [{ certificate: certificate.replace(/\nM/, '\nA'), key }, 'tls.certificate'],
    [{ certificate, key: weak.export(pem) }, 'tls.key'],
    [
      { certificate, key: locked.export({ ...pem, cipher: 'aes-256-cbc', passphrase: 'x' }) },
      'tls.key',
    ],
    [{ certificate: 'x'.repeat(40_000), key }, 'tls.certificate'],
    [{ certificate: 5, key }, 'tls.certificate'],
  ] as const) {
    const answer = await send('PUT', at('tls.example.com'), { tls });
    assertProblem(answer, { status: 400, code: 'validation_failed', field });
    assert.ok(!answer.text.includes('PRIVATE'), answer.text);
  }
});

test('without a key for secrets nothing secret is taken; the rest is', async () => {
  await using keyless = await startTestApp(db.url, { SECRET_KEYS: 'none' }).catch(() => undefined);
  // This database knows a key already: such a start is refused.
  assert.equal(keyless, undefined);
  await using fresh = await createTestDatabase();
  await using without = await startTestApp(fresh.url, { SECRET_KEYS: 'none' });
  const { cert: certificate, key } = createAuthority().issue(['one']);
  for (const settings of [{ headers: { authorization: 'x' } }, { tls: { certificate, key } }]) {
    const answer = await send('PUT', at('a.example.com'), settings, {}, without);
    assertProblem(answer, { status: 400, code: 'secrets_not_configured' });
  }
  const taken = await send('PUT', at('a.example.com'), { headers: { 'x-a': '1' } }, {}, without);
  assert.equal(taken.status, 201);
});
