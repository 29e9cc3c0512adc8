import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem } from '../support/http.ts';
import { startReceiver, type Arrival } from '../support/receiver.ts';
import { isTaken, signingKeysOf, type Key } from '../support/signingKeys.ts';

const db = await createTestDatabase();
const receiver = await startReceiver();
const app = await startTestApp(db.url);
after(async () => {
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});
const { call, made, removeAll } = signingKeysOf(app);

/** What arrives last, of a timer that is due now. */
async function arrival(): Promise<Arrival> {
  const before = receiver.arrivals.length;
  await app.post({ url: receiver.url });
  await receiver.arrived(before + 1);
  return receiver.arrivals.at(-1) as Arrival;
}

/** Until what goes to the receiver is signed with these keys, and as many in all. */
async function sign(keys: readonly Key[]): Promise<void> {
  await eventually(`${keys.length} keys sign`, async () => {
    const it = await arrival();
    const signatures = String(it.headers['webhook-signature']).split(' ');
    const taken = keys.map(async (key) => isTaken(key.secret ?? key.public_key, it));
    return signatures.length === keys.length && (await Promise.all(taken)).every(Boolean);
  });
}

test('a destination with keys of its own is signed for with those, and with no others', async () => {
  await removeAll();
  const { host } = new URL(receiver.url);
  const general = await made();
  const own = await made({ destination: host, scheme: 'v1a' });
  assert.deepEqual([general.destination, own.destination], ['*', host]);
  await sign([own]);
  await using elsewhere = await startReceiver();
  await app.post({ url: elsewhere.url });
  await elsewhere.arrived(1);
  assert.ok(await isTaken(general.secret, elsewhere.arrivals[0] as Arrival));
  // A rotation stays with it; five live keys of each.
  const next = await made({ overlap: 60 }, `/signing-keys/${own.id}/rotate`);
  assert.deepEqual([next.destination, next.scheme], [host, 'v1a']);
  await sign([next, own]);
  const three = [];
  for (let n = 0; n < 3; n++) three.push(await made({ destination: host }));
  const refused = await call('POST', '/signing-keys', { destination: host });
  assert.partialDeepStrictEqual(refused.body, { quota: 'signing_keys', limit: 5, used: 5 });
  const full = await call('POST', `/signing-keys/${next.id}/rotate`);
  assert.partialDeepStrictEqual(full.body, { quota: 'signing_keys', limit: 5, used: 5 });
  const again = await made();
  const { body } = await call('GET', '/signing-keys');
  const destinations = (body['signing_keys'] as Key[]).map(({ destination }) => destination);
  assert.deepEqual(destinations, ['*', host, host, host, host, host, '*']);
  for (const key of [...three, next, own]) await call('DELETE', `/signing-keys/${key.id}`);
  await sign([again, general]);
  for (const destination of ['http://x.example', '', 'x.example:0', '*.127.0.0.1', 7, null]) {
    assertProblem(await call('POST', '/signing-keys', { destination }), {
      status: 400,
      code: 'validation_failed',
      field: 'destination',
    });
  }
});

test('a project has keys of 200 destinations at most, beside those of all', async () => {
  await removeAll();
  const keys = [];
  for (let n = 0; n < 200; n++) keys.push(await made({ destination: `h${n}.example` }));
  const refused = await call('POST', '/signing-keys', { destination: 'h200.example' });
  assert.partialDeepStrictEqual(refused.body, {
    code: 'quota_exceeded',
    quota: 'signing_key_destinations',
    limit: 200,
  });
  await made();
  await made({ destination: 'h0.example' });
  await call('DELETE', `/signing-keys/${keys[7]?.id}`);
  await made({ destination: 'h200.example' });
  await removeAll();
});
