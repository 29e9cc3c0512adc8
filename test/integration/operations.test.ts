import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, openDatabase, sql, testServerUrl } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, post, request } from '../support/http.ts';
import { metric } from '../support/metrics.ts';
import { startReceiver } from '../support/receiver.ts';

const db = await createTestDatabase();
const receiver = await startReceiver();
const app = await startTestApp(db.url, { HEARTBEAT_TTL: '1' });
const name = new URL(db.url).pathname.slice(1);
const admin = openDatabase(testServerUrl());
after(async () => {
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await admin.close();
  await db[Symbol.asyncDispose]();
});

type Checks = Record<string, { ok: boolean; detail?: string }>;

async function ready() {
  const { status, body } = await request(`${app.url}/ready`);
  return { status, ready: body['ready'], checks: body['checks'] as Checks };
}

test('/ready is 200 with every check passed once the service is up', async () => {
  const answer = await eventually('listening', async () => {
    const now = await ready();
    return now.checks['wake_up']?.detail === undefined ? now : undefined;
  });
  assert.deepEqual(answer, {
    status: 200,
    ready: true,
    checks: {
      store: { ok: true },
      schema: { ok: true },
      heartbeat: { ok: true },
      scheduler: { ok: true },
      wake_up: { ok: true },
    },
  });
});

test('/health says that the process lives', async () => {
  const { status, body } = await request(`${app.url}/health`);
  assert.equal(status, 200);
  assert.deepEqual(body, { status: 'ok' });
});

test('/metrics counts what was created and attempted, in the Prometheus format', async () => {
  const before = await metric(app.url, 'belfry_timers_created_total');
  const { body } = await post(app.url, { url: receiver.url });
  await eventually('succeeded', async () => {
    const read = await request(`${app.url}/timers/${String(body['id'])}`);
    return read.body['status'] === 'succeeded';
  });
  const { status, headers, text } = await request(`${app.url}/metrics`);
  assert.equal(status, 200);
  assert.match(headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.match(text, /^belfry_attempts_total\{result="succeeded"\} 1$/m);
  assert.match(text, /^belfry_lateness_seconds_count 1$/m);
  assert.equal(await metric(app.url, 'belfry_timers_created_total'), before + 1);
  assert.equal(await metric(app.url, 'belfry_timers_held'), 0);
});

test('/ready is 503 while the schema is not what this version needs', async () => {
  const [row] = await sql<[number, string, boolean, string]>(
    db.database,
    `DELETE FROM belfry.schema_migrations
     WHERE version = (SELECT max(version) FROM belfry.schema_migrations)
     RETURNING version, name, breaking, checksum`,
  );
  assert.ok(row !== undefined);
  const [newest] = row;
  const [before] = await sql<[number]>(
    db.database,
    'SELECT max(version) FROM belfry.schema_migrations',
  );
  const answer = await ready();
  assert.equal(answer.status, 503);
  assert.equal(answer.ready, false);
  assert.deepEqual(answer.checks['schema'], {
    ok: false,
    detail: `is at ${before?.[0]}, this version needs ${newest}`,
  });
  await sql(
    db.database,
    'INSERT INTO belfry.schema_migrations (version, name, breaking, checksum) VALUES ($1, $2, $3, $4)',
    row,
  );
  await sql(
    db.database,
    "INSERT INTO belfry.schema_migrations (version, name, breaking, checksum) VALUES (900000, 'x', true, 'x')",
  );
  assert.equal((await ready()).checks['schema']?.ok, false, 'a newer breaking one');
  await sql(
    db.database,
    'UPDATE belfry.schema_migrations SET breaking = false WHERE version = 900000',
  );
  assert.equal((await ready()).status, 200, 'a newer one that is not breaking');
});

test('while the store is away: /ready and the API are 503 with Retry-After, /health 200; all come back', async () => {
  const { body: waiting } = await post(app.url, { url: `${receiver.url}/after`, delay: 2 });
  await sql(admin, `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS false`);
  try {
    await sql(admin, 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [
      name,
    ]);
    const answer = await ready();
    assert.equal(answer.status, 503);
    assert.equal(answer.checks['store']?.ok, false);
    const calls: [string, RequestInit][] = [
      ['/timers', { method: 'POST', body: JSON.stringify({ url: receiver.url, hours: 1 }) }],
      [`/timers/${String(waiting['id'])}`, {}],
      [`/timers/${String(waiting['id'])}`, { method: 'DELETE' }],
    ];
    // Twice: the first round may meet connections that were just cut.
    for (const [path, init] of [...calls, ...calls]) {
      assertProblem(await request(`${app.url}${path}`, init), { status: 503 }, path);
    }
    const outage = await request(`${app.url}/timers/1`);
    assertProblem(outage, { status: 503, code: 'store_unavailable' });
    // A bad request stays one for as long as it is known who asks.
    const bad = await post(app.url, { url: 'x' });
    assertProblem(bad, { status: bad.status === 400 ? 400 : 503 });
    assert.equal((await request(`${app.url}/health`)).status, 200);
    await eventually(
      'the heartbeat lapses',
      async () => (await ready()).checks['heartbeat']?.ok === false,
    );
  } finally {
    await sql(admin, `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS true`);
  }
  await eventually('ready again', async () => (await ready()).status === 200);
  await eventually('the timer that was due during the outage is called', () =>
    receiver.arrivals.some(({ path }) => path === `/after/${String(waiting['id'])}`),
  );
});
