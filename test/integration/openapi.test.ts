import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, openDatabase, sql, testServerUrl } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { exchange, request } from '../support/http.ts';
import { openBreaker } from '../support/openBreaker.ts';
import { callDestinations } from '../support/destinationCalls.ts';
import { contractFrom, contractOf, createAjv } from '../support/openapi.ts';
import { startReceiver } from '../support/receiver.ts';
import { askSigningKeys } from '../support/signingKeyCalls.ts';
import {
  scopesWithout,
  securedOperations,
  type SecuredOperation,
} from '../support/securedOperations.ts';
import { newToken } from '../../src/core/token.ts';
import { createTokenStore } from '../../src/store/tokens.ts';

type Json = Readonly<Record<string, unknown>>;

const db = await createTestDatabase();
let held: Promise<void> | undefined;
let release: (() => void) | undefined;
const receiver = await startReceiver((res) => void Promise.resolve(held).then(() => res.end()));
const app = await startTestApp(db.url, { MAX_BODY_BYTES: '4096', MAX_BATCH_BYTES: '4096' });
const strict = await startTestApp(db.url, { AUTH: 'on' });
const admin = openDatabase(testServerUrl());
after(async () => {
  await strict[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await admin.close();
  await db[Symbol.asyncDispose]();
});
const contract = await contractOf(app.url);
const { document } = contract;

/** Every object within, with the way to it. */
function* objectsIn(value: unknown, at = ''): Generator<{ at: string; object: Json }> {
  if (typeof value !== 'object' || value === null) return;
  yield { at, object: value as Json };
  for (const [name, each] of Object.entries(value)) yield* objectsIn(each, `${at}/${name}`);
}

test('the document is valid OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors));
  assert.match(String(document['openapi']), /^3\.1\./);
});

test('every example is what its schema takes', () => {
  const ajv = createAjv();
  // References lead into the document, wherever a schema stands.
  const withDocument = (schema: Json) => ({ ...schema, components: document['components'] });
  let count = 0;
  for (const { at, object } of objectsIn(document)) {
    const { examples } = object;
    if (examples === undefined || at.endsWith('/properties')) continue;
    // A schema has a list of them, a media type has them by name, beside its schema.
    const isList = Array.isArray(examples);
    const schema = (isList ? object : object['schema']) as Json;
    const values = isList
      ? (examples as unknown[])
      : Object.values(examples as Record<string, Json>).map(({ value }) => value);
    const validate = ajv.compile(withDocument(schema));
    for (const value of values) {
      assert.ok(validate(value), `${at}: ${ajv.errorsText(validate.errors)}`);
      count += 1;
    }
  }
  assert.ok(count > 20, `${count} examples`);
});

test('every operation says what it is, and every parameter and field of a request what it takes', () => {
  const ids = new Set<unknown>();
  for (const { at, object } of objectsIn(document['paths'])) {
    if ('operationId' in object) {
      assert.ok(!ids.has(object['operationId']), `${String(object['operationId'])} stands twice`);
      ids.add(object['operationId']);
      assert.ok(String(object['summary']).length > 0 && Array.isArray(object['tags']), at);
    }
    if ('in' in object) {
      const schema = object['schema'] as Json;
      assert.ok('description' in object || 'description' in schema, at);
    }
  }
  const { schemas } = document['components'] as { schemas: Record<string, Json> };
  const fields = schemas['NewTimer']?.['properties'] as Record<string, Json>;
  for (const [name, field] of Object.entries(fields)) {
    const { $ref } = field;
    const component = typeof $ref === 'string' ? ($ref.split('/').at(-1) ?? '') : '';
    assert.ok('description' in (schemas[component] ?? field), name);
  }
});

test('the judge of answers sees an undocumented status, a field too many and one that is missing', () => {
  const headers = new Map([['content-type', 'application/json; charset=utf-8']]);
  const answer = { method: 'GET', path: '/health', status: 200, headers, text: '{"status":"ok"}' };
  const judge = contractFrom(document);
  assert.equal(judge.check(answer), 'getHealth 200');
  for (const change of [
    { status: 201 },
    { text: '{}' },
    { text: '{"status":"ok","more":1}' },
    { text: '{"status":"sick"}' },
    { method: 'POST' },
    { headers: new Map([['content-type', 'text/plain']]) },
    { headers: new Map([...headers, ['etag', '"1"']]) },
  ]) {
    assert.throws(() => judge.check({ ...answer, ...change }), JSON.stringify(change));
  }
  const problem = {
    type: 'urn:belfry:problem:timer_not_found',
    title: 'No such timer',
    status: 404,
    code: 'timer_not_found',
    detail: 'x',
  };
  const judged = (change: object) =>
    judge.check({
      ...answer,
      path: '/timers/1',
      status: 404,
      headers: new Map([['content-type', 'application/problem+json']]),
      text: JSON.stringify({ ...problem, ...change }),
    });
  assert.equal(judged({}), 'getTimer 404');
  assert.throws(() => judged({ code: 'too_late' }), /allowed values/);
  assert.throws(() => judged({ status: 400 }), /constant/);
  assert.throws(() => judged({ more: 1 }), /unevaluated/);
  assert.throws(() => judged({ fields: [{ field: 'a', message: 'b', more: 1 }] }), /unevaluated/);
});

/** The same routes where tokens are asked for. */
const secured = securedOperations(document);

async function pairFor(
  { method, template }: SecuredOperation,
  token: string | undefined,
  to = strict,
): Promise<string> {
  const path = template.replaceAll(/\{\w+\}/g, '1');
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const answer = await request(`${to.url}${path}`, { method, headers });
  return contract.check({ method, path, ...answer }) ?? '';
}

/** For a token of another scope, for none, and after too many without one. */
const nobody = { kind: 'database', id: '', name: '', address: '' } as const;

async function refusals(): Promise<string[]> {
  const tokens = createTokenStore(db.database);
  const pairs: string[] = [];
  for (const operation of secured) {
    if (operation.scope === 'any') continue;
    const { id, secretHash, text } = newToken();
    const scopes = scopesWithout[operation.scope];
    await tokens.add(
      { id, secretHash, scopes, projectId: 1, name: 'a', expiresAfterMs: null, rate: null },
      nobody,
    );
    pairs.push(await pairFor(operation, text));
  }
  const atOnce = 16;
  for (let from = 0; from < secured.length; from += atOnce) {
    // One that has not counted any failures yet.
    await using fresh = await startTestApp(db.url, { AUTH: 'on' });
    for (const operation of secured.slice(from, from + atOnce))
      pairs.push(await pairFor(operation, undefined, fresh));
  }
  for (const operation of [...secured, ...secured]) {
    pairs.push(await pairFor(operation, undefined));
  }
  return pairs;
}

test('every documented status of every route is given by the real service, and nothing else', async () => {
  const seen = new Set<string>();
  const url = `${receiver.url}/x`;
  const body = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));

  /** The answer, checked against the document by `request` already. */
  async function call(method: string, path: string, sent?: unknown, headers = {}) {
    const init = { method, headers, ...(sent === undefined ? {} : { body: body(sent) }) };
    const answer = await request(`${app.url}${path}`, init);
    const pair = contract.check({ method, path, ...answer });
    if (pair !== undefined) seen.add(pair);
    return answer;
  }
  async function raw(bytes: string | Buffer) {
    const [method = '', path = ''] = String(bytes).split(' ');
    const answer = await exchange(app.url, bytes);
    const pair = contract.check({ method, path, ...answer });
    if (pair !== undefined) seen.add(pair);
  }
  const large = { url, body: 'x'.repeat(5_000) };
  const lines = { 'content-type': 'application/x-ndjson' };
  const noChunk = 'host: b\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n';

  const { body: created } = await call('POST', '/timers', { url, hours: 1 });
  const timer = `/timers/${String(created['id'])}`;
  const key = { 'idempotency-key': 'a' };
  await call('POST', '/timers', { url, hours: 1 }, key);
  await call('POST', '/timers', { url, hours: 1 }, key);
  await call('POST', '/timers', { url, hours: 2 }, key);
  await call('POST', '/timers', { url: 'x' });
  await call('POST', '/timers', { url: 'http://10.0.0.1/' });
  await call('POST', '/timers', large);
  await raw(`POST /timers HTTP/1.1\r\n${noChunk}`);

  await call('POST', '/timers/batch', [{ url, hours: 1 }, { url: 'x' }]);
  await call('POST', '/timers/batch', body({ url, hours: 1 }), lines);
  await call('POST', '/timers/batch', {});
  await call('POST', '/timers/batch', [large]);

  for (const path of [timer, `${timer}/attempts`, `${timer}/why`]) {
    await call('GET', path);
    await call('GET', path.replace(/\d+/, '999999'));
    await raw(`GET ${path.replace(/\d+/, '%zz')} HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n`);
  }

  const { body: fired } = await call('POST', '/timers', { url });
  const firedPath = `/timers/${String(fired['id'])}`;
  await eventually('it has fired', async () => {
    return (await call('GET', firedPath)).body['status'] === 'succeeded';
  });
  for (const more of ['attempts', 'why']) await call('GET', `${firedPath}/${more}`);
  await call('DELETE', firedPath);
  await call('DELETE', '/timers/999999');
  for (const path of [timer, firedPath, '/timers/999999']) {
    const version = path === timer ? '"9"' : '*';
    await call('PATCH', path, { metadata: 1 }, { 'if-match': version });
    await call('POST', `${path}/fire`, path === timer ? { delay: 1 } : undefined);
    await call('POST', `${path}/retry`, path === timer ? { url } : undefined);
  }
  await call('PATCH', timer, { metadata: 1 });
  await call('PATCH', timer, {});
  await call('PATCH', timer, { url: 'http://10.0.0.1/' });
  for (const [method, path] of [
    ['PATCH', timer],
    ['POST', `${timer}/fire`],
    ['POST', `${timer}/retry`],
  ] as const) {
    await call(method, path, large);
  }
  const { body: other } = await call('POST', '/timers', { url, hours: 1 });
  await call('POST', `/timers/${String(other['id'])}/fire`);
  const { body: again } = await call('POST', '/timers', { url, hours: 1 });
  await call('DELETE', `/timers/${String(again['id'])}`);
  await call('POST', `/timers/${String(again['id'])}/retry`);

  await call('GET', '/timers');
  await call('GET', '/timers?limit=0');

  for (const path of ['/timers/cancel', '/timers/retry']) {
    const filter = { label: 'none' };
    const { body: plan } = await call('POST', path, { filter, dry_run: true });
    await call('POST', path, { filter, token: plan['token'] });
    await call('POST', path, { filter });
    await call('POST', path, large);
    await call('POST', path, '{');
    await raw(`POST ${path} HTTP/1.1\r\n${noChunk}`);
  }

  const { body: token } = await call('POST', '/tokens', { name: 'a', scopes: ['timers:read'] });
  const tokenPath = `/tokens/${String(token['id'])}`;
  await call('POST', '/tokens', {});
  await call('POST', '/tokens', { name: 'a', scopes: ['admin'], project: 999 });
  await call('POST', '/tokens', large);
  await call('GET', '/tokens');
  await call('GET', '/tokens?project=x');
  await call('PATCH', tokenPath, { rate: { requests: 100 } });
  await call('PATCH', tokenPath, {});
  await call('PATCH', tokenPath, large);
  await call('PATCH', '/tokens/0', { rate: null });
  await call('POST', `${tokenPath}/rotate`);
  await call('POST', `${tokenPath}/rotate`, { overlap: -1 });
  await call('POST', `${tokenPath}/rotate`, large);
  await call('POST', '/tokens/0/rotate');
  await call('DELETE', tokenPath, large);
  await call('DELETE', tokenPath, '{');
  await call('DELETE', tokenPath);
  await call('DELETE', '/tokens/0');
  await call('PUT', '/secrets/a', { value: 'x' });
  await call('PUT', '/secrets/a', { value: 'x' });
  await call('PUT', '/secrets/a', {});
  await call('PUT', '/secrets/a', large);
  await call('GET', '/secrets');
  await call('POST', '/secrets/rotate');
  await call('POST', '/secrets/rotate', { cursor: 'x' });
  await call('POST', '/secrets/rotate', large);
  await call('DELETE', '/secrets/a', '{');
  await call('DELETE', '/secrets/a', large);
  await call('DELETE', '/secrets/a');
  await call('DELETE', '/secrets/a');
  await raw(`GET /secrets HTTP/1.1\r\n${noChunk}`);
  const signing = await askSigningKeys({ call, raw, large, noChunk });
  await call('POST', '/projects', { name: 'another' });
  await call('POST', '/projects', { name: 'another' });
  await call('POST', '/projects', {});
  await call('POST', '/projects', large);
  await call('GET', '/projects');
  const { body: emptied } = await call('POST', '/projects/2/purge', { dry_run: true });
  await call('POST', '/projects/2/purge', { token: emptied['token'] });
  await call('POST', '/projects/2/purge');
  for (const action of ['pause', 'resume', 'purge']) {
    await call('POST', `/projects/2/${action}`);
    await call('POST', `/projects/999/${action}`, { dry_run: true });
    await call('POST', `/projects/2/${action}`, large);
    await raw(`POST /projects/2/${action} HTTP/1.1\r\n${noChunk}`);
  }
  await openBreaker(db, 1, 'https://api.example.com');
  await callDestinations({ call, raw, large, noChunk });
  await call('GET', '/projects/2/limits');
  await call('GET', '/projects/x/limits');
  await call('PATCH', '/projects/2/limits', { rate: { requests: 100, per: 60 }, live_timers: 9 });
  await call('PATCH', '/projects/2/limits', { rate: { requests: 0 } });
  await call('PATCH', '/projects/2/limits', large);
  await call('PATCH', '/projects/999/limits', { live_timers: null });
  await call('GET', '/usage');
  await call('GET', '/whoami');
  await call('GET', '/audit');
  await call('GET', '/audit?limit=0');
  for (const path of ['/usage', '/projects/1/limits']) {
    await raw(`GET ${path} HTTP/1.1\r\n${noChunk}`);
  }
  await raw(`GET /whoami HTTP/1.1\r\n${noChunk}`);
  await raw('GET /whoami HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n');
  await raw(`GET /projects HTTP/1.1\r\n${noChunk}`);

  const named = '/timers/by-key/a';
  for (const method of ['GET', 'DELETE']) {
    await call(method, named);
    await call(method, '/timers/by-key/%20');
  }
  await call('PUT', named, { url, hours: 1 });
  await call('PUT', named, { url, hours: 2 });
  await call('GET', named);
  await call('DELETE', named);
  await call('DELETE', named, large);
  await call('PUT', named, {});
  await call('PUT', named, { url: 'http://10.0.0.1/' });
  await call('PUT', named, large);
  // While it is being delivered, the name of a timer can be given away, but the timer not cancelled.
  held = new Promise((resolve) => {
    release = resolve;
  });
  await eventually('all before has arrived', () => receiver.arrivals.length >= 3);
  const before = receiver.arrivals.length;
  await call('PUT', named, { url });
  await receiver.arrived(before + 1);
  await call('DELETE', named);
  release?.();

  await call('DELETE', timer, '{');
  await call('DELETE', timer, large);
  await call('DELETE', timer);

  for (const path of ['/health', '/ready', '/metrics', '/openapi.json', '/docs']) {
    await call('GET', path);
  }
  for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png', 'start.js']) {
    assert.equal((await call('GET', `/docs/${file}`)).status, 200, file);
  }
  await call('GET', '/docs/index.js');
  await raw('GET /docs/%zz HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n');
  assert.equal((await call('GET', '/docs/..%2findex.js')).status, 404);

  const name = new URL(db.url).pathname.slice(1);
  await sql(admin, `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS false`);
  try {
    await sql(admin, 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [
      name,
    ]);
    await call('POST', '/timers', { url, hours: 1 });
    for (const more of ['', '/attempts', '/why']) await call('GET', `${timer}${more}`);
    await call('DELETE', timer);
    await call('PATCH', timer, { metadata: 1 });
    await call('POST', `${timer}/fire`);
    await call('POST', `${timer}/retry`);
    for (const method of ['GET', 'DELETE']) await call(method, named);
    await call('PUT', named, { url });
    await call('GET', '/timers');
    for (const path of ['/timers/cancel', '/timers/retry']) {
      await call('POST', path, { filter: { label: 'none' }, dry_run: true });
    }
    await call('POST', '/tokens', { name: 'a', scopes: ['timers:read'] });
    await call('DELETE', tokenPath);
    await call('POST', `${tokenPath}/rotate`);
    for (const path of ['/tokens', '/audit', '/projects', '/secrets']) await call('GET', path);
    await call('POST', '/projects', { name: 'b' });
    await call('PUT', '/secrets/a', { value: 'x' });
    await call('DELETE', '/secrets/a');
    await call('POST', '/secrets/rotate');
    await call('PUT', '/destinations/a', {});
    await signing.askAll();
    for (const operation of secured) seen.add(await pairFor(operation, newToken().text));
    await call('GET', '/ready');
  } finally {
    await sql(admin, `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS true`);
  }
  for (const pair of await refusals()) seen.add(pair);
  // `internal` is a defect: there is no request that must get it.
  const expected = contract.pairs.filter((pair) => !pair.endsWith(' 500'));
  assert.deepEqual([...seen].toSorted(), expected.toSorted());
});
