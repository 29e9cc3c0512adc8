import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { firstToken } from '../../src/store/firstToken.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase, sql, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

async function call(app: TestApp, method: string, path: string, body?: unknown, token?: string) {
  return request(`${app.url}${path}`, {
    method,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function change(app: TestApp, action: 'pause' | 'resume', project = 1) {
  const answer = await call(app, 'POST', `/projects/${project}/${action}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
}

const parkedCount = async (db: TestDatabase) =>
  (
    await sql<[number]>(
      db.database,
      'SELECT count(*) FROM belfry.timers WHERE parked_lane IS NOT NULL',
    )
  )[0]?.[0];

test('nothing of a paused project starts, in any process; resumed, all of it does, in due order', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using one = await startTestApp(db.url);
  await using two = await startTestApp(db.url);
  const delays = Array.from({ length: 60 }, (_, index) => 1.2 + (index % 30) / 30);
  const before = await Promise.all(
    delays.map((delay, index) => (index % 2 ? one : two).post({ url: receiver.url, delay })),
  );
  const paused = await change(one, 'pause');
  assert.equal(typeof paused['paused_at'], 'string');
  assert.deepEqual(await change(two, 'pause'), paused, 'a second pause changes nothing');
  const meanwhile = await Promise.all(
    [0, 0.1, 0.5, 1, 1.9, 3_600].map((delay) => two.post({ url: receiver.url, delay })),
  );
  await sleep(3_000);
  assert.equal(receiver.arrivals.length, 0, 'nothing arrived');
  const timers = [...before, ...meanwhile.slice(0, 5)];
  for (const { body } of timers) {
    const shown = await one.get(`/timers/${String(body['id'])}`);
    assert.equal(shown.body['status'], 'pending');
    assert.equal(shown.body['time_left'], 0);
  }
  assert.equal(await parkedCount(db), timers.length);

  // Parked ones are listed, changed and cancelled as ever.
  const [first, second, third] = before.map(({ body }) => Number(body['id']));
  const soonest = await one.get('/timers?order=soonest&limit=500');
  assert.equal((soonest.body['timers'] as unknown[]).length, timers.length + 1);
  assert.equal((await one.cancel(first)).status, 200);
  const moved = await call(two, 'PATCH', `/timers/${second}`, { delay: 3_600 });
  assert.equal(moved.status, 200, moved.text);
  const edited = await call(two, 'PATCH', `/timers/${third}`, { url: `${receiver.url}/edited` });
  assert.equal(edited.status, 200, edited.text);

  assert.equal((await change(two, 'resume'))['paused_at'], null);
  await receiver.arrived(timers.length - 2);
  await eventually('the lane is open', async () => {
    const rows = await sql(db.database, `SELECT 1 FROM belfry.lanes WHERE state = 'open'`);
    return rows.length === 1;
  });
  assert.equal(await parkedCount(db), 0);
  const paths = receiver.arrivals.map(({ path }) => path);
  assert.equal(new Set(paths).size, timers.length - 2, 'each once');
  assert.ok(paths.includes(`/edited/${third}`));
  assert.ok(!paths.includes(`/${first}`) && !paths.includes(`/${second}`));
  // As ever for whoever comes after.
  const after = await one.post({ url: receiver.url });
  await eventually('it arrives', () =>
    receiver.arrivals.some(({ path }) => path === `/${String(after.body['id'])}`),
  );
  const deeds = await sql<[string]>(db.database, 'SELECT action FROM belfry.audit_log ORDER BY id');
  assert.deepEqual(deeds, [['project.pause'], ['project.resume']]);
});

test('what expires while its project is paused fails as expired, and is not sent', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url);
  await change(app, 'pause');
  const { body } = await app.post({ url: receiver.url, delay: 0.2, expires_after: 1 });
  const lasting = await app.post({ url: receiver.url, delay: 0.2, expires_after: 600 });
  const ended = await eventually('it has expired', async () => {
    const shown = await app.get(`/timers/${String(body['id'])}`);
    return shown.body['status'] === 'failed' ? shown.body : undefined;
  });
  assert.equal(ended['failure_code'], 'expired');
  assert.equal((await app.get(`/timers/${String(lasting.body['id'])}`)).body['status'], 'pending');
  assert.equal(receiver.arrivals.length, 0);
});

test('a retry of a paused project waits in the lane too', async () => {
  await using db = await createTestDatabase();
  let status = 500;
  await using receiver = await startReceiver((res) => res.writeHead(status).end());
  await using app = await startTestApp(db.url);
  const { body } = await app.post({ url: receiver.url, retry: { base: 1, jitter: 0 } });
  await receiver.arrived(1);
  await change(app, 'pause');
  await eventually('it is parked', async () => (await parkedCount(db)) === 1);
  await sleep(1_500);
  assert.equal(receiver.arrivals.length, 1);
  assert.equal((await app.get(`/timers/${String(body['id'])}`)).body['status'], 'retrying');
  status = 204;
  await change(app, 'resume');
  await receiver.arrived(2);
});

test('a purge cancels the live timers of one project, those in lanes as well, after a dry run', async () => {
  await using db = await createTestDatabase();
  await using app = await startTestApp(db.url, { AUTH: 'on' });
  const operator = (await firstToken(db.database, false)) ?? '';
  const made = async (path: string, body: unknown, token = operator) => {
    const answer = await call(app, 'POST', path, body, token);
    assert.equal(answer.status, 201, answer.text);
    return answer.body;
  };
  const shop = Number((await made('/projects', { name: 'shop' }))['id']);
  const wish = { name: 'a', scopes: ['admin'], project: shop };
  const admin = String((await made('/tokens', wish))['token']);
  const other = await made('/timers', { url: 'http://127.0.0.1:9/', hours: 1 });
  const paused = await call(app, 'POST', `/projects/${shop}/pause`, undefined, admin);
  assert.equal(paused.status, 200, paused.text);
  for (const delay of [0, 1, 3_600])
    await made('/timers', { url: 'http://127.0.0.1:9/', delay }, admin);
  await eventually('parked', async () => (await parkedCount(db)) === 2);

  const purge = (body: unknown, token = admin, project = shop) =>
    call(app, 'POST', `/projects/${project}/purge`, body, token);
  for (const path of ['pause', 'resume', 'purge']) {
    const answer = await call(app, 'POST', `/projects/1/${path}`, { dry_run: true }, admin);
    assertProblem(answer, { status: 404, code: 'project_not_found' });
  }
  assertProblem(await purge({}), { status: 400, code: 'validation_failed' });
  const plan = await purge({ dry_run: true });
  assert.equal(plan.body['count'], 3);
  // The token is for this project alone.
  const wrong = await purge({ token: plan.body['token'] }, operator, 1);
  assertProblem(wrong, { status: 400, code: 'validation_failed' });
  const done = await purge({ token: plan.body['token'] });
  assert.equal(done.body['done'], true, done.text);
  assert.equal(done.body['changed'], 3);
  const left = await sql(db.database, 'SELECT id FROM belfry.timers');
  assert.deepEqual(left, [[other['id']]]);
  const [deed] = await sql<[string, string]>(
    db.database,
    `SELECT action, target FROM belfry.audit_log WHERE project_id = $1 ORDER BY id DESC LIMIT 1`,
    [shop],
  );
  assert.deepEqual(deed, ['project.purge', String(shop)]);
});

/** Due over two seconds, of a project of its own, and never claimed before. */
async function seedDue(db: TestDatabase, project: number, count: number): Promise<void> {
  await sql(
    db.database,
    `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url)
     SELECT nextval('belfry.timer_id'), $1::bigint, at, at, at, 'http://127.0.0.1:9/x'
     FROM (SELECT date_trunc('milliseconds', now() - (n % 2000) * interval '1 ms') AS at
       FROM generate_series(1, $2::integer) AS n) AS due`,
    [project, count],
  );
}

test('20,000 due timers of a paused project do not delay those of others', async (t: TestContext) => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url);
  await sql(db.database, `INSERT INTO belfry.projects (id, name) VALUES (2, 'busy')`);
  await change(app, 'pause', 2);
  const count = Number(process.env['BELFRY_PAUSED_TIMERS'] ?? 20_000);
  const latenessOf = async (seed: () => Promise<void>) => {
    const from = receiver.arrivals.length;
    const created = [];
    for (let index = 0; index < 60; index++) {
      created.push(await app.post({ url: receiver.url, delay: 2.5 + index / 100 }));
    }
    await seed();
    await receiver.arrived(from + created.length);
    const dueAt = new Map(
      created.map(({ body }) => [`/${String(body['id'])}`, Date.parse(String(body['due_at']))]),
    );
    return receiver.arrivals
      .slice(from)
      .map(({ path, atMs }) => atMs - (dueAt.get(path) ?? NaN))
      .toSorted((a, b) => a - b);
  };
  const alone = await latenessOf(() => Promise.resolve());
  const beside = await latenessOf(() => seedDue(db, 2, count));
  await eventually('all are parked', async () => (await parkedCount(db)) === count, 30_000);
  const later = await latenessOf(() => Promise.resolve());
  t.diagnostic(
    `ms late, median and most: alone ${alone[30]?.toFixed(1)}, ${alone.at(-1)?.toFixed(1)}; while ${count} are parked ${beside[30]?.toFixed(1)}, ${beside.at(-1)?.toFixed(1)}; afterwards ${later[30]?.toFixed(1)}, ${later.at(-1)?.toFixed(1)}`,
  );
  assert.ok((beside[30] ?? NaN) < 500, 'half of them are on time while the others are parked');
  assert.ok((later[30] ?? NaN) < 100, 'and afterwards');
});
