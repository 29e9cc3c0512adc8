import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { firstToken } from '../../src/store/firstToken.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, request, type Answer } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

const db = await createTestDatabase();
const receiver = await startReceiver((res, { path }) => {
  res.writeHead(path.startsWith('/fails') ? 410 : 200).end();
});
const app = await startTestApp(db.url, { AUTH: 'on' });
const other = await startTestApp(db.url, { AUTH: 'on' });
after(async () => {
  await app[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
const operator = (await firstToken(db.database, false)) ?? '';
const url = 'http://127.0.0.1:9/';
let projects = 0;

function call(
  token: string,
  method: string,
  path: string,
  body?: unknown,
  options: { to?: typeof app; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { to = app, headers = {} } = options;
  return request(`${to.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}

/** A project with these limits, and a token of it. */
async function limited(limits: object, rate: object | null = null) {
  projects += 1;
  const { body: project } = await call(operator, 'POST', '/projects', { name: `p${projects}` });
  const id = Number(project['id']);
  if (Object.keys(limits).length > 0) await set(id, limits);
  const wish = { name: 'a', scopes: ['admin'], project: id, rate };
  const issued = await call(operator, 'POST', '/tokens', wish);
  assert.equal(issued.status, 201, issued.text);
  return { id, token: String(issued.body['token']), tokenId: String(issued.body['id']) };
}

async function set(id: number, limits: object): Promise<void> {
  const answer = await call(operator, 'PATCH', `/projects/${id}/limits`, limits);
  assert.equal(answer.status, 200, answer.text);
}

const create = (token: string, more: object = {}, options: Parameters<typeof call>[4] = {}) =>
  call(token, 'POST', '/timers', { url, hours: 1, ...more }, options);

function assertQuota(answer: Answer, quota: string, limit: number): void {
  assertProblem(answer, { status: 403, code: 'quota_exceeded' });
  assert.equal(answer.body['quota'], quota);
  assert.equal(answer.body['limit'], limit);
  assert.ok(typeof answer.body['used'] === 'number', answer.text);
}

async function liveOf(id: number): Promise<number> {
  const [row] = await sql<[number]>(
    db.database,
    'SELECT count(*) FROM belfry.timers WHERE project_id = $1',
    [id],
  );
  return row?.[0] ?? NaN;
}

test('limits are set by operators, read by admins, kept in the audit log, and told what they take', async () => {
  const { id, token } = await limited({});
  const path = `/projects/${id}/limits`;
  const none = {
    project: id,
    rate: null,
    live_timers: null,
    creates_per_day: null,
    body_bytes: null,
    horizon: null,
    attempts: null,
  };
  assert.deepEqual((await call(token, 'GET', path)).body, none);
  const changed = await call(operator, 'PATCH', path, {
    rate: { requests: 600, per: 'PT1M', burst: 50 },
    live_timers: 5,
    horizon: 'P1D',
  });
  const expected = {
    ...none,
    rate: { requests: 600, per: 60, burst: 50 },
    live_timers: 5,
    horizon: 86_400,
  };
  assert.deepEqual(changed.body, expected);
  const taken = await call(operator, 'PATCH', path, { live_timers: null, attempts: 3 });
  assert.deepEqual(taken.body, { ...expected, live_timers: null, attempts: 3 });
  assert.deepEqual((await call(token, 'GET', path)).body, taken.body);
  assertProblem(await call(token, 'PATCH', path, { attempts: null }), { status: 403 });
  assertProblem(await call(token, 'GET', '/projects/1/limits'), {
    status: 404,
    code: 'project_not_found',
  });
  for (const [field, wrong] of [
    ['live_timers', { live_timers: -1 }],
    ['live_timers', { live_timers: 1.5 }],
    ['attempts', { attempts: 0 }],
    ['horizon', { horizon: 'soon' }],
    ['rate', { rate: 5 }],
    ['rate.requests', { rate: {} }],
    ['rate.per', { rate: { requests: 1, per: 0.5 } }],
    ['rate.per', { rate: { requests: 1, per: 'P2D' } }],
    ['rate.burst', { rate: { requests: 100, burst: 49 } }],
    ['rate.speed', { rate: { requests: 100, speed: 1 } }],
    ['body', {}],
    ['more', { more: 1 }],
  ] as const) {
    assertProblem(await call(operator, 'PATCH', path, wrong), { status: 400, field });
  }
  assert.deepEqual((await call(token, 'GET', path)).body, taken.body, 'bad input changes nothing');
  const { body: log } = await call(token, 'GET', '/audit');
  const deeds = (log['entries'] as { action: string; target: string; detail: string }[]).filter(
    ({ action }) => action === 'limits.set',
  );
  assert.equal(deeds.length, 2);
  assert.equal(deeds[1]?.target, String(id));
  assert.deepEqual(JSON.parse(deeds[1]?.detail ?? ''), {
    project: { liveTimers: null, attempts: 3 },
  });
});

test('a caller is told both of its rates on every answer, and to wait when one is used up', async () => {
  const { id, token, tokenId } = await limited(
    { rate: { requests: 60, per: 60, burst: 20 } },
    { requests: 10, per: 100, burst: 5 },
  );
  const first = await call(token, 'GET', '/whoami');
  assert.equal(first.headers.get('ratelimit-policy'), '"project";q=20;w=20, "token";q=5;w=50');
  assert.match(first.headers.get('ratelimit') ?? '', /^"project";r=19;t=\d+, "token";r=4;t=\d+$/);
  const refused = await create(token, { url: 'x' });
  assertProblem(refused, { status: 400 });
  assert.match(refused.headers.get('ratelimit') ?? '', /"token";r=3;/);
  assertProblem(await call(token, 'PATCH', '/projects/1/limits', {}), { status: 403 });
  for (let left = 2; left > 0; left--) {
    assert.equal((await call(token, 'GET', '/usage')).status, 200);
  }
  const late = await call(token, 'GET', '/whoami');
  assertProblem(late, { status: 429, code: 'rate_limited' });
  const wait = Number(late.headers.get('retry-after'));
  assert.ok(wait >= 1 && wait <= 10, String(wait));
  assert.match(late.headers.get('ratelimit') ?? '', new RegExp(`"token";r=0;t=${wait}$`));
  assert.match(
    late.headers.get('ratelimit') ?? '',
    /^"project";r=1[4-9];/,
    'it took none of those',
  );
  assertProblem(await call(token, 'GET', '/whoami', undefined, { to: other }), { status: 429 });
  // Another token of the project has what is left of the project's.
  const wish = { name: 'b', scopes: ['timers:read'], project: id };
  const { body: second } = await call(operator, 'POST', '/tokens', wish);
  const free = await call(String(second['token']), 'GET', '/usage', undefined, { to: other });
  assert.equal(free.status, 200);
  assert.equal(free.headers.get('ratelimit-policy'), '"project";q=20;w=20');
  // Without the rate it goes on, on both, within a second.
  const lifted = await call(operator, 'PATCH', `/tokens/${tokenId}`, { rate: null });
  assert.equal(lifted.body['rate'], null);
  const liftedAtMs = performance.now();
  for (const to of [app, other]) {
    await eventually('the rate is lifted', async () => {
      return (await call(token, 'GET', '/whoami', undefined, { to })).status === 200;
    });
  }
  assert.ok(performance.now() - liftedAtMs < 3_000);
});

test('a batch is one request, and operators are not locked out of lifting a rate', async () => {
  const { token } = await limited({ rate: { requests: 1, per: 3_600 } });
  const batch = Array.from({ length: 50 }, () => ({ url, hours: 1 }));
  assert.equal((await call(token, 'POST', '/timers/batch', batch)).status, 200);
  assertProblem(await create(token), { status: 429 });
  await set(1, { rate: { requests: 1, per: 3_600 } });
  await eventually('the operator is limited', async () => {
    return (await call(operator, 'GET', '/usage')).status === 429;
  });
  assert.equal((await call(operator, 'GET', '/projects')).status, 200);
  await set(1, { rate: null });
  await eventually('no more', async () => (await call(operator, 'GET', '/usage')).status === 200);
});

test('what a timer asks for is held against the quotas, on every path', async () => {
  const { token } = await limited({ body_bytes: 10, horizon: 7_200, attempts: 3 });
  const fits = { body: 'x'.repeat(10), hours: 2, retry: { max_attempts: 3 } };
  const wrong = [
    ['body_bytes', 10, { body: 'x'.repeat(11) }],
    ['horizon', 7_200, { seconds: 7_201 }],
    ['horizon', 7_200, { hours: undefined, due_at: '2090-01-01T00:00:00Z' }],
    ['attempts', 3, { retry: { max_attempts: 4 } }],
  ] as const;
  for (const [quota, limit, more] of wrong) {
    assertQuota(await create(token, more), quota, limit);
    const timer = { url, hours: 1, ...more };
    assertQuota(await call(token, 'PUT', '/timers/by-key/a', timer), quota, limit);
    for (const [body, headers] of [
      [JSON.stringify([timer, { url, hours: 1 }]), {}],
      [`${JSON.stringify(timer)}\n`, { 'content-type': 'application/x-ndjson' }],
    ] as const) {
      const { text } = await call(token, 'POST', '/timers/batch', body, { headers });
      assert.ok(text.includes('"quota_exceeded"') && text.includes(`"quota":"${quota}"`), text);
      assert.equal(text.includes('"status":201'), body.startsWith('['), 'the others are created');
    }
  }
  const { body: made } = await create(token, fits);
  const path = `/timers/${String(made['id'])}`;
  for (const [quota, limit, more] of wrong) {
    assertQuota(await call(token, 'PATCH', path, more), quota, limit);
  }
  assert.equal((await call(token, 'PATCH', path, { ...fits, metadata: 1 })).status, 200);
  // One that says nothing of retries gets no more than are allowed.
  const { body: silent } = await create(token);
  const { body: shown } = await call(token, 'GET', `/timers/${String(silent['id'])}`);
  assert.equal((shown['retry'] as { max_attempts: number }).max_attempts, 3);
});

test('no more live timers than the quota on any path; what ends makes room', async () => {
  const { id, token } = await limited({ live_timers: 3 });
  const { body: made } = await create(token);
  assert.equal((await call(token, 'PUT', '/timers/by-key/a', { url, hours: 1 })).status, 201);
  const key = { headers: { 'idempotency-key': 'k' } };
  const { body: third } = await create(token, {}, key);
  assertQuota(await create(token), 'live_timers', 3);
  assertQuota(await create(token, {}, { to: other }), 'live_timers', 3);
  assertQuota(await call(token, 'PUT', '/timers/by-key/b', { url, hours: 1 }), 'live_timers', 3);
  const { text } = await call(token, 'POST', '/timers/batch', [{ url, hours: 1 }]);
  assert.ok(text.includes('"quota":"live_timers"'), text);
  // None of these is one more.
  const replay = await create(token, {}, key);
  assert.equal(replay.status, 201);
  assert.equal(replay.body['id'], third['id']);
  assertProblem(await create(token, { hours: 2 }, key), { status: 422 });
  assert.equal((await call(token, 'PUT', '/timers/by-key/a', { url, hours: 2 })).status, 200);
  const { body: usage } = await call(token, 'GET', '/usage');
  assert.deepEqual(usage['live_timers'], { limit: 3, used: 3 });

  assert.equal((await call(token, 'DELETE', `/timers/${String(made['id'])}`)).status, 200);
  const soon = { url: receiver.url, seconds: 0, hours: undefined };
  const again = await eventually('there is room', async () => {
    const answer = await create(token, soon);
    return answer.status === 201 ? answer : undefined;
  });
  const fired = `/timers/${String(again.body['id'])}`;
  await eventually('it has fired', async () => {
    return (await call(token, 'GET', fired)).body['status'] === 'succeeded';
  });
  await eventually('its end makes room', async () => (await create(token)).status === 201);
  // One that was cancelled counts again once it is tried again.
  const retry = await call(token, 'POST', `/timers/${String(made['id'])}/retry`, { hours: 1 });
  assertQuota(retry, 'live_timers', 3);
  assert.equal(await liveOf(id), 3);
  await set(id, { live_timers: 4 });
  await eventually('one more', async () => {
    const path = `/timers/${String(made['id'])}/retry`;
    return (await call(token, 'POST', path, { hours: 1 })).status === 200;
  });
  assert.equal(await liveOf(id), 4);
});

test('creates of a day are counted, with those that have ended since; replays are not', async () => {
  const { token } = await limited({ creates_per_day: 4 });
  const { body: made } = await create(token);
  await call(token, 'DELETE', `/timers/${String(made['id'])}`);
  const key = { headers: { 'idempotency-key': 'k' } };
  for (let time = 0; time < 3; time++) assert.equal((await create(token, {}, key)).status, 201);
  assert.equal((await create(token)).status, 201);
  assert.equal((await create(token)).status, 201);
  assertQuota(await create(token), 'creates_per_day', 4);
  const retried = await call(token, 'POST', `/timers/${String(made['id'])}/retry`, { hours: 1 });
  assert.equal(retried.status, 200, 'that is no create');
  await eventually('all are reported', async () => {
    const { body } = await call(token, 'GET', '/usage');
    return (body['creates_per_day'] as { used: number }).used === 4;
  });
  const day = 'UPDATE belfry.quota_ledgers SET day = day - 1 WHERE created = 4';
  await sql(db.database, day);
  await eventually('the next day', async () => (await create(token)).status === 201);
});

test('two processes that create at once stay within the quotas, and use them up', async () => {
  const { id, token } = await limited({ live_timers: 200, creates_per_day: 1_000 });
  const statuses = new Map<number, number>();
  const lane = async (to: typeof app) => {
    for (let time = 0; time < 30; time++) {
      const { status } = await create(token, {}, { to });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 16 }, (_, n) => lane(n % 2 === 0 ? app : other)));
  assert.ok((await liveOf(id)) <= 200);
  assert.deepEqual(
    [...statuses.keys()].toSorted((a, b) => a - b),
    [201, 403],
  );
  // What one has in stock, the other cannot have: it comes back within half a second.
  await eventually('it is used up', async () => {
    await create(token);
    return (await liveOf(id)) === 200;
  });
  await create(token);
  assert.equal(await liveOf(id), 200);
});
