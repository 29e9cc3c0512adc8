import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBelfry, startBelfry } from '../support/belfryProcess.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';

const canary = (what: string) => `canary-${what}-7f3a9c`;

void test('what callers keep secret is in no log, no metric and no error, and of a token only its hash is kept', async () => {
  await using database = await createTestDatabase();
  await using receiver = await startReceiver((res, { path }) => {
    res.statusCode = path.includes('fails') ? 500 : 200;
    res.end(canary('answer'));
  });
  const environment = {
    DATABASE_URL: database.url,
    ALLOW_TARGETS: '127.0.0.1',
    LOG_LEVEL: 'debug',
    BROKER_CONNECTION: `amqp://u:${canary('password')}@127.0.0.1/`,
  };
  const given = await runBelfry(['admin', 'init', '--json'], environment);
  const { token } = JSON.parse(given.stdout) as { token: string };
  await using belfry = await startBelfry({ command: 'serve', environment });

  const texts: string[] = [];
  async function call(path: string, body?: unknown, authorization = `Bearer ${token}`) {
    const response = await fetch(`${belfry.url}${path}`, {
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
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
    headers: { authorization: canary('header'), 'x-a': canary('header') },
    body: canary('body'),
    metadata: canary('metadata'),
    append_id: false,
    retry: { max_attempts: 1 },
  };
  const urls = ['works', 'fails'].map((path) => `${receiver.url}/${path}?q=${canary('query')}`);
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
  await eventually('all have ended', async () => {
    const [row] = await sql<[number]>(database.database, 'SELECT count(*) FROM belfry.history');
    return row?.[0] === urls.length;
  });
  const metrics = await call('/metrics');
  assert.equal(metrics.status, 200);
  belfry.signal('SIGTERM');
  await belfry.exited;

  assert.ok(
    receiver.arrivals.some(({ body }) => body === canary('body')),
    'it was sent',
  );
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
  }
  const [dump] = await sql<[string]>(
    database.database,
    `SELECT concat((SELECT jsonb_agg(t) FROM belfry.tokens t), (SELECT jsonb_agg(a) FROM belfry.audit_log a))`,
  );
  assert.ok(!(dump?.[0] ?? '').includes(token.slice(21)));
});
