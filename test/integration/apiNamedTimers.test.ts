import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startTwoApps } from '../support/twoApps.ts';

const both = await startTwoApps({ RETRY_MAX_ATTEMPTS: '1' });
const { db, receiver, app, other, send, answerWith, arrivals, finished } = both;
after(() => both[Symbol.asyncDispose]());

test('PUT by key makes one live timer of a name, replaced in place', async () => {
  const first = await send('PUT', '/timers/by-key/session%3A17', {
    url: receiver.url,
    delay: 3_600,
    body: 'first',
  });
  assert.equal(first.status, 201, JSON.stringify(first.body));
  const { id } = first.body;
  assert.partialDeepStrictEqual(first.body, { key: 'session:17', version: 1, body: 'first' });
  const second = await send('PUT', '/timers/by-key/session%3A17', {
    url: `${receiver.url}/second`,
    delay: 7_200,
  });
  assert.equal(second.status, 200);
  assert.partialDeepStrictEqual(second.body, { id, key: 'session:17', version: 2 });
  assert.equal(second.body['body'], undefined, 'replaced as a whole');
  const read = await send('GET', '/timers/by-key/session%3A17');
  assert.partialDeepStrictEqual(read, { status: 200, etag: '"2"', body: { id, version: 2 } });
  assert.deepEqual((await send('DELETE', '/timers/by-key/session%3A17')).body, {
    id,
    status: 'cancelled',
  });
  for (const method of ['GET', 'DELETE']) {
    const gone = await send(method, '/timers/by-key/session%3A17');
    assert.partialDeepStrictEqual(gone, { status: 404, body: { code: 'timer_not_found' } });
  }
  const anew = await send('PUT', '/timers/by-key/session%3A17', { url: receiver.url, delay: 9e3 });
  assert.equal(anew.status, 201);
  assert.notEqual(anew.body['id'], id);
  for (const key of ['%20', 'a%00b', '%C3%A9', 'x'.repeat(256)]) {
    const answer = await send('PUT', `/timers/by-key/${key}`, { url: receiver.url });
    assert.equal(answer.status, 400, key);
    assert.partialDeepStrictEqual(answer.body, { fields: [{ field: 'key' }] });
  }
});

test('concurrent PUTs of one key over two processes leave one live timer', async () => {
  for (let round = 0; round < 5; round++) {
    const key = `race-${round}`;
    const answered = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        send(
          'PUT',
          `/timers/by-key/${key}`,
          { url: receiver.url, delay: 3_600, metadata: index },
          { to: index % 2 === 0 ? app : other },
        ),
      ),
    );
    const count = (status: number) => answered.filter((answer) => answer.status === status).length;
    assert.deepEqual([count(201), count(200)], [1, 19]);
    const rows = await sql(db.database, 'SELECT id FROM belfry.timers WHERE key = $1', [key]);
    assert.equal(rows.length, 1);
  }
});

test('a 500 ms debounce fires once for each pause, never sees a 409, and forgets no last word', async () => {
  const said: string[] = [];
  for (let burst = 0; burst < 2; burst++) {
    for (let stroke = 0; stroke < 12; stroke++) {
      const body = `burst ${burst} stroke ${stroke}`;
      const answer = await send(
        'PUT',
        '/timers/by-key/debounce',
        { url: new URL('/debounce', receiver.url).href, append_id: false, delay: 0.5, body },
        { to: stroke % 3 === 2 ? other : app },
      );
      assert.ok(answer.status === 200 || answer.status === 201, JSON.stringify(answer.body));
      await sleep(30);
    }
    said.push(`burst ${burst} stroke 11`);
    await eventually(`burst ${burst} has arrived`, () =>
      Promise.resolve(receiver.arrivals.some(({ body }) => body === said.at(-1)) || undefined),
    );
  }
  const heard = receiver.arrivals.filter(({ path }) => path === '/debounce');
  assert.deepEqual(
    heard.map(({ body }) => body),
    said,
  );
});

test('while its timer is being delivered, a key moves on to a new one', async () => {
  const gate = Promise.withResolvers<void>();
  answerWith(async () => {
    await gate.promise;
    return 200;
  });
  const put = (delay: number) =>
    send('PUT', '/timers/by-key/busy', { url: new URL('/busy', receiver.url).href, delay });
  const first = await put(0);
  await eventually('the first is being delivered', () =>
    Promise.resolve(arrivals(String(first.body['id'])).length === 1 || undefined),
  );
  const second = await put(3_600);
  assert.equal(second.status, 201, JSON.stringify(second.body));
  assert.deepEqual(second.body['previous'], { id: first.body['id'], status: 'delivering' });
  assert.notEqual(second.body['id'], first.body['id']);
  gate.resolve();
  await finished(Number(first.body['id']), 'succeeded');
  assert.equal((await app.get('/timers/by-key/busy')).body['id'], second.body['id']);
  answerWith(() => 200);
});
