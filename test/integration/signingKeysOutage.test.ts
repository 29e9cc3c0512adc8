import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { verifyWebhook } from '../../packages/client/src/index.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase, openDatabase, sql, testServerUrl } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

test('while the database is down nothing of a project with a key goes out unsigned, and others go on', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using app = await startTestApp(db.url);
  const admin = openDatabase(testServerUrl());
  await using _ = { [Symbol.asyncDispose]: () => admin.close() };
  const name = new URL(db.url).pathname.slice(1);
  const allow = (may: boolean) =>
    sql(admin, `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS ${may}`);
  async function cut(): Promise<void> {
    await allow(false);
    const end = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1';
    await sql(admin, end, [name]);
  }
  const due = async (path: string, delay: number) => {
    const { status } = await app.post({ url: `${receiver.url}/${path}`, body: 'x', delay });
    assert.equal(status, 201);
  };
  const arrivals = (path: string) =>
    receiver.arrivals.filter((arrival) => arrival.path.startsWith(`/${path}/`));

  // Near timers are held from their creation on. When these are due, what is known of keys is too old.
  await due('first', 0);
  await eventually('it arrives', () => arrivals('first').length === 1);
  await due('without', 1.5);
  await cut();
  await eventually('it goes out while the database is down', () => arrivals('without').length > 0);
  await allow(true);
  const made = await eventually('the database is there', async () => {
    const answer = await request(`${app.url}/signing-keys`, { method: 'POST' });
    return answer.status === 201 ? answer : undefined;
  });
  await eventually('the key signs', async () => {
    const before = arrivals('probe').length;
    await due('probe', 0);
    await eventually('it arrives', () => arrivals('probe').length > before);
    return arrivals('probe').at(-1)?.headers['webhook-signature'] !== undefined;
  });

  await due('with', 1.5);
  await cut();
  // As long as the lease holds, so that nothing but the keys is in the way.
  await sleep(2_500);
  assert.deepEqual(arrivals('with'), []);
  await allow(true);
  const [arrival] = await eventually('it goes out after all', () => {
    const found = arrivals('with');
    return found.length > 0 ? found : undefined;
  });
  assert.ok(arrival !== undefined);
  await verifyWebhook(String(made.body['secret']), arrival.headers, arrival.body);
});
