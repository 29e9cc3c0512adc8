import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBelfry, startBelfry } from '../support/belfryProcess.ts';
import type { Database } from '../../src/store/database.ts';
import { createAuthority } from '../support/certificates.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';
import { secretKeysText } from '../support/secretKeys.ts';

const canary = (what: string) => `canary-${what}-7f3a9c`;

/** Neither as it is, nor as a dump writes bytes, nor in base64. */
function assertHidden(where: string, text: string, secret: string): void {
  const bytes = Buffer.from(secret);
  const inBase64 = bytes.toString('base64').replaceAll('=', '').slice(0, -2);
  for (const form of [secret, bytes.toString('hex'), inBase64]) {
    assert.ok(!text.includes(form), `${secret} is in ${where}`);
  }
}

/** All rows of all tables, as a dump has them, but for what is kept as it was given: body and URL. */
async function dumpOf(database: Database): Promise<string> {
  const tables = await sql<[string]>(
    database,
    `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'belfry' AND c.relkind = 'r' ORDER BY 1`,
  );
  assert.ok(tables.length > 12, `${tables.length} tables`);
  const rows: string[] = [];
  for (const [table] of tables) {
    for (const [row] of await sql<[string]>(
      database,
      `SELECT (to_jsonb(t) - 'body' - 'url')::text FROM ${table} t`,
    )) {
      rows.push(`${table} ${row}`);
    }
  }
  return rows.join('\n');
}

void test('what callers keep secret is in no log, no metric, no error and no dump, and of a token only its hash is kept', async () => {
  await using database = await createTestDatabase();
  await using receiver = await startReceiver((res, { path, headers }) => {
    res.statusCode = path.includes('fails') ? 500 : 200;
    res.setHeader('location', path);
    res.end(`${canary('answer')} ${JSON.stringify(headers)} ${path}`);
  });
  const keys = secretKeysText('canary');
  const environment = {
    DATABASE_URL: database.url,
    ALLOW_TARGETS: '127.0.0.1',
    LOG_LEVEL: 'debug',
    SECRET_KEYS: keys,
    BROKER_CONNECTION: `amqp://u:${canary('password')}@127.0.0.1/`,
  };
  const given = await runBelfry(['admin', 'init', '--json'], environment);
  const { token } = JSON.parse(given.stdout) as { token: string };
  await using belfry = await startBelfry({ command: 'serve', environment });

  const texts: string[] = [];
  async function call(
    path: string,
    body?: unknown,
    authorization = `Bearer ${token}`,
    method = 'POST',
  ) {
    const response = await fetch(`${belfry.url}${path}`, {
      ...(body === undefined ? {} : { method, body: JSON.stringify(body) }),
      headers: { authorization },
    });
    const text = await response.text();
    if (response.status >= 400) texts.push(text);
    return { status: response.status, text };
  }
  const wrong = token.replace(/.{8}$/, 'AAAAAAAA');
  for (const authorization of [
    `Bearer ${wrong}`,
    `Basic ${canary('password')}`,
    canary('scheme'),
  ]) {
    assert.equal((await call('/timers', undefined, authorization)).status, 401);
  }
  const timer = {
    headers: {
      authorization: `Bearer ${canary('secretheader')}`,
      'x-mine': canary('secretheader'),
      'x-named': 'v={{secret:named}}',
      'x-a': canary('header'),
    },
    secret_headers: ['x-mine'],
    body: canary('body'),
    metadata: canary('metadata'),
    append_id: false,
    retry: { max_attempts: 1 },
  };
  const set = { value: canary('named') };
  assert.equal((await call('/secrets/named', set, undefined, 'PUT')).status, 201);
  assert.equal((await call('/secrets/Named', set, undefined, 'PUT')).status, 400);
  const { cert: certificate, key: tlsKey } = createAuthority().issue(['one']);
  const settings = {
    headers: { cookie: canary('destination'), 'x-too': canary('destination'), 'x-mine': 'x' },
    secret_headers: ['x-too'],
    tls: { certificate, key: tlsKey },
  };
  const place = `/destinations/${encodeURIComponent('*')}`;
  assert.equal((await call(place, settings, undefined, 'PUT')).status, 201);
  assert.equal((await call(place, { ...settings, timeout: 0 }, undefined, 'PUT')).status, 400);
  const wrongKey = { ...settings, tls: { certificate: createAuthority().cert, key: tlsKey } };
  assert.equal((await call(place, wrongKey, undefined, 'PUT')).status, 400);
  assert.ok(!(await call(place)).text.includes(canary('destination')));
  // Secrets of their own, and one that the service makes; the keys sign what follows.
  const bytes = Buffer.from(canary('signing').padEnd(32, '-'));
  const signing = [`whsec_${bytes.toString('base64')}`, `whsk_${bytes.toString('base64')}`];
  for (const secret of signing) {
    assert.equal((await call('/signing-keys', { secret })).status, 201);
    assert.equal((await call('/signing-keys', { secret: `${secret}.` })).status, 400);
    assert.equal((await call('/signing-keys', { secret, scheme: secret })).status, 400);
  }
  const made = await call('/signing-keys', {});
  signing.push((JSON.parse(made.text) as { secret: string }).secret);
  const oldKey = (JSON.parse(made.text) as { id: string }).id;
  const next = await call(`/signing-keys/${oldKey}/rotate`, {});
  signing.push((JSON.parse(next.text) as { secret: string }).secret);
  let probes = 0;
  await eventually('all keys sign', async () => {
    const path = `/probe/${++probes}`;
    const probe = { url: receiver.url + path, append_id: false };
    assert.equal((await call('/timers', probe)).status, 201);
    const { headers } = await eventually('it arrives', () =>
      receiver.arrivals.find((each) => each.path === path),
    );
    return String(headers['webhook-signature']).split(' ').length === 4;
  });
  const urls = ['works', 'fails'].map(
    (path) => `${receiver.url}/${path}/{{secret:named}}?q=${canary('query')}`,
  );
  // Nobody listens; no such name; not allowed; no such field; not JSON at all.
  urls.push(
    `http://127.0.0.1:9/?q=${canary('query')}`,
    `http://none.invalid/?q=${canary('query')}`,
  );
  for (const url of urls) assert.equal((await call('/timers', { ...timer, url })).status, 201);
  await call('/timers', { ...timer, url: `http://10.0.0.1/?q=${canary('query')}` });
  await call('/timers', { ...timer, url: urls[0], timeout: canary('body') });
  await call('/timers', { ...timer, url: urls[0], headers: { host: canary('header') } });
  await call('/timers', { ...timer, url: `ftp://x/?q=${canary('query')}` });
  await call('/timers', { ...timer, url: urls[0], secret_headers: ['x-b'] });
  await call('/timers', {
    ...timer,
    url: urls[0],
    headers: { cookie: `${canary('secretheader')}{{secret:none}}` },
  });
  const waiting = await call('/timers', { ...timer, url: urls[0], delay: 3_600 });
  assert.equal(waiting.status, 201);
  const list = await call('/timers');
  assert.match(list.text, /\[secret\]/);
  const ofKey = tlsKey.split('\n')[2] ?? '';
  assert.ok(ofKey.length > 30);
  for (const secret of [canary('secretheader'), canary('named'), canary('destination'), ofKey]) {
    assertHidden('lists', list.text, secret);
  }
  await eventually('all have ended', async () => {
    const [row] = await sql<[number]>(database.database, 'SELECT count(*) FROM belfry.history');
    return row?.[0] === urls.length + probes;
  });
  const keyList = call('/signing-keys');
  const metrics = await call('/metrics');
  assert.equal(metrics.status, 200);
  belfry.signal('SIGTERM');
  await belfry.exited;

  const arrival = receiver.arrivals.find(({ path }) => path.startsWith('/works'));
  assert.equal(arrival?.body, canary('body'), 'it was sent');
  assert.equal(arrival.headers.authorization, `Bearer ${canary('secretheader')}`);
  assert.equal(arrival.headers.cookie, canary('destination'));
  assert.equal(arrival.headers['x-too'], canary('destination'));
  assert.equal(arrival.headers['x-named'], `v=${canary('named')}`);
  assert.ok(arrival.path.includes(`/${canary('named')}?`), arrival.path);
  const logged = belfry.stdout() + belfry.stderr();
  assert.ok(logged.length > 1_000, logged);
  assert.ok(texts.length >= 7, `${texts.length} errors`);
  for (const [where, text] of Object.entries({
    log: logged,
    metrics: metrics.text,
    errors: texts.join(),
  })) {
    assert.doesNotMatch(text, /canary-\w+-7f3a9c/, where);
    assert.ok(!text.includes(token) && !text.includes(wrong), where);
    assert.ok(!text.includes(token.slice(21)), where);
    assertHidden(where, text, ofKey);
  }
  const dump = await dumpOf(database.database);
  const answer = Buffer.from(canary('answer')).toString('hex');
  assert.ok(dump.includes(answer) && dump.includes(canary('metadata')), 'it is whole');
  assertHidden('a dump', dump, token.slice(21));
  for (const secret of [canary('secretheader'), canary('named'), canary('destination'), ofKey]) {
    assertHidden('a dump', dump, secret);
  }
  const keysShown = await keyList;
  assert.equal(String(arrival.headers['webhook-signature']).split(' ').length, 4);
  assert.match(dump, /signing_keys/);
  for (const secret of signing) {
    const encoded = secret.replace(/^whs(?:ec|k)_/, '').replace(/=+$/, '');
    const inHex = Buffer.from(encoded, 'base64').toString('hex');
    for (const [where, text] of Object.entries({
      'a dump': dump,
      'the log': logged,
      metrics: metrics.text,
      errors: texts.join(),
      lists: keysShown.text,
    })) {
      for (const form of [encoded, inHex, canary('signing')]) {
        assert.ok(!text.includes(form), `a signing secret is in ${where}`);
      }
    }
  }
  const key = keys.slice('canary:'.length, -1);
  assertHidden('a dump', dump, key);
  assertHidden('the log', logged, key);
});
