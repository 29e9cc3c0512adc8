import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { startDnsServer } from '../support/dnsServer.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, post, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';
import { startRawServer } from '../unit/fakes/rawServer.ts';

const db = await createTestDatabase();
const dns = await startDnsServer({
  'inside.evil.io': { a: ['127.0.0.1'] },
  'inside6.evil.io': { aaaa: ['::1'] },
  'both.evil.io': { a: ['127.0.0.2', '127.0.0.1'] },
  'alias.evil.io': { cname: 'inside.evil.io' },
  'good.acme.io': { a: ['127.0.0.2'] },
  'empty.acme.io': {},
});
/** 127.0.0.2 stands for the public, 127.0.0.1 for what is inside. */
const outside = await startReceiver(undefined, { host: '127.0.0.2' });
const inside = await startRawServer({});
const app = await startTestApp(db.url, {
  ALLOW_TARGETS: '127.0.0.2/32',
  DNS_SERVERS: dns.address,
  RETRY_MAX_ATTEMPTS: '1',
  DESTINATION_CONCURRENCY: '2',
});
after(async () => {
  await app[Symbol.asyncDispose]();
  await outside[Symbol.asyncDispose]();
  await inside[Symbol.asyncDispose]();
  await dns[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

async function stored(): Promise<number> {
  const [row] = await sql<[number]>(db.database, 'SELECT count(*)::integer FROM timers');
  return row?.[0] ?? -1;
}

async function attemptOf(url: string): Promise<Record<string, unknown>> {
  const created = await post(app.url, { url, seconds: 0 });
  assert.equal(created.status, 201, created.text);
  const timer = await eventually(`the timer for ${url} finished`, async () => {
    const { body } = await request(`${app.url}/timers/${String(created.body['id'])}`);
    return body['finished_at'] === null ? false : body;
  });
  const [attempt] = timer['attempts'] as Record<string, unknown>[];
  assert.ok(attempt !== undefined);
  return attempt;
}

test('what the URL says is refused at create, with one message whatever the reason, and nothing is stored', async () => {
  const before = await stored();
  const messages = new Set<string>();
  for (const host of [
    '127.0.0.1',
    '0x7f.1',
    '2130706433',
    '①②⑦.⓪.⓪.①',
    '[::1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::7f00:1]',
    '169.254.169.254',
    '[fd00:ec2::254]',
    'localhost',
    'ⓛocalhost',
    'metadata',
    'metadata.google.internal',
    'router.lan',
  ]) {
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${host}:${inside.port}/x`;
      const answer = await post(app.url, { url, seconds: 0 });
      assertProblem(answer, { status: 403, code: 'target_not_allowed', field: 'url' }, url);
      messages.add(String(answer.body['detail']));
    }
  }
  assert.equal(messages.size, 1, [...messages].join('\n'));
  const smtp = await post(app.url, { url: 'http://good.acme.io:25/', seconds: 0 });
  assertProblem(smtp, { status: 403, code: 'target_not_allowed', field: 'url' });
  assert.match(smtp.text, /ALLOW_PORTS/);
  assert.equal(await stored(), before);
  assert.equal(inside.accepted(), 0);
});

test('a name that leads inside fails like one that leads nowhere, and nothing inside is connected to', async () => {
  const shown = new Set<string>();
  for (const name of ['inside', 'inside6', 'both', 'alias', 'missing']) {
    const attempt = await attemptOf(`http://${name}.evil.io:${inside.port}/`);
    const { error_code, status, number, lost } = attempt;
    shown.add(JSON.stringify({ error_code, status, number, lost }));
    assert.equal(error_code, 'dns_failed', name);
  }
  assert.equal((await attemptOf('http://empty.acme.io/'))['error_code'], 'dns_failed');
  assert.equal(shown.size, 1);
  assert.equal(inside.accepted(), 0);
  const { status } = await attemptOf(`http://good.acme.io:${outside.port}/`);
  assert.equal(status, 200);
});

test('T13, T14, T15, T26: no header that the client would choke on is taken, and the destination goes on', async () => {
  const bad: Record<string, string> = {
    Host: 'internal.svc',
    'transfer-encoding': 'chunked',
    'content-length': '5',
    connection: 'close, x-a',
    'Keep-Alive': 'timeout=5',
    upgrade: 'websocket',
    Expect: '100-continue',
    te: 'trailers',
    trailer: 'x-a',
    'proxy-authorization': 'Basic x',
    'Proxy-Connection': 'keep-alive',
    'webhook-id': 'mine',
    'Webhook-Signature': 'v1,x',
    ':authority': 'internal.svc',
    cookie2: 'a',
    forwarded: 'for=127.0.0.1',
    'X-Forwarded-For': '127.0.0.1',
    'x-forwarded-host': 'internal.svc',
    Content_Length: '5',
    'x-a': 'a\r\nX-Evil: 1',
    'x-b': 'a\nb',
    'x-c': 'a\u0000',
    'x-d': 'snow\u2603',
    'x e': 'a',
    'x-f\r\nX-Evil': '1',
    'x-g:': '1',
    '': '1',
  };
  const url = `http://good.acme.io:${outside.port}/headers`;
  const before = await stored();
  for (const [name, value] of Object.entries(bad)) {
    for (const headers of [{ [name]: value }, { [name]: ['ok', value] }]) {
      const answer = await post(app.url, { url, seconds: 0, headers });
      assertProblem(answer, { status: 400, code: 'validation_failed' }, JSON.stringify(headers));
    }
  }
  assert.equal(await stored(), before);
  const attempt = await attemptOf(url);
  assert.equal(attempt['status'], 200);
});

test('HTTPS_ONLY and DENY_TARGETS are told at create', async () => {
  await using strict = await startTestApp(db.url, {
    HTTPS_ONLY: 'true',
    DENY_TARGETS: 'evil.io,*.evil.io',
    ROLES: 'api',
  });
  const plain = await post(strict.url, { url: 'http://hooks.acme.io/', hours: 1 });
  assertProblem(plain, { status: 403, code: 'target_not_allowed', field: 'url' });
  assert.match(plain.text, /HTTPS_ONLY/);
  for (const host of ['evil.io', 'a.evil.io', 'EVIL.io.']) {
    const answer = await post(strict.url, { url: `https://${host}/`, hours: 1 });
    assertProblem(answer, { status: 403, code: 'target_not_allowed', field: 'url' }, host);
  }
  const taken = await post(strict.url, { url: 'https://hooks.acme.io/', hours: 1 });
  assert.equal(taken.status, 201);
});
