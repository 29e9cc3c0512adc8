import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, test } from 'node:test';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, post, request } from '../support/http.ts';
import { startReceiver } from '../support/receiver.ts';

const db = await createTestDatabase();
const held: ServerResponse[] = [];
const receiver = await startReceiver((res, { path }) => {
  if (path.startsWith('/held')) {
    held.push(res);
    return;
  }
  res.statusCode = path.startsWith('/gone') ? 410 : path.startsWith('/broken') ? 500 : 204;
  res.end();
});
const app = await startTestApp(db.url, { WEBHOOK_TIMEOUT: '60' });
after(async () => {
  for (const res of held) res.end();
  await app[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

type Entry = Readonly<Record<string, unknown>>;

async function list(query: string): Promise<{ timers: readonly Entry[]; next: string | null }> {
  const answer = await request(`${app.url}/timers?${query}`);
  assert.equal(answer.status, 200, answer.text);
  const { timers, next } = answer.body;
  assert.ok(Array.isArray(timers) && (next === null || typeof next === 'string'));
  return { timers, next };
}

async function idsOf(query: string): Promise<number[]> {
  return (await list(query)).timers.map(({ id }) => Number(id));
}

async function created(fields: Readonly<Record<string, unknown>>): Promise<number> {
  const { status, body } = await post(app.url, {
    url: `${receiver.url}/x`,
    ...('seconds' in fields ? {} : { hours: 1 }),
    ...fields,
  });
  assert.equal(status, 201, JSON.stringify(body));
  return Number(body['id']);
}

async function read(id: number): Promise<Entry> {
  return (await request(`${app.url}/timers/${id}`)).body;
}

/** One timer in each status, under a label of its own. */
async function oneOfEach(label: string): Promise<Record<string, number>> {
  const at = (path: string) => ({ url: `${receiver.url}/${path}`, seconds: 0, labels: [label] });
  const ids = {
    pending: await created({ labels: [label] }),
    delivering: await created(at('held')),
    retrying: await created({ ...at('broken'), retry: { base: 600 } }),
    succeeded: await created(at('x')),
    failed: await created(at('gone')),
    cancelled: await created({ labels: [label] }),
  };
  await app.cancel(ids.cancelled);
  for (const [status, id] of Object.entries(ids)) {
    await eventually(`${id} is ${status}`, async () => (await read(id))['status'] === status);
  }
  return ids;
}

test('each status is listed as GET /timers/{id} shows it, and a list of a status holds no other', async () => {
  const ids = await oneOfEach('each');
  const all = await list('label=each');
  assert.deepEqual(
    all.timers.map(({ id, status }) => [status, id]),
    Object.entries(ids).toReversed(),
  );
  for (const [status, id] of Object.entries(ids)) {
    assert.deepEqual(await idsOf(`label=each&status=${status}`), [id], status);
    assert.ok((await idsOf(`status=${status}`)).includes(id), status);
  }
  const { pending = 0, delivering = 0, retrying = 0, failed = 0 } = ids;
  assert.deepEqual(await idsOf('label=each&status=live'), [retrying, delivering, pending]);
  assert.deepEqual(await idsOf('label=each&status=failed,pending'), [failed, pending]);
  assert.deepEqual(await idsOf('label=each&status=failed&status=pending'), [failed, pending]);
  assert.equal((await idsOf('label=each&status=finished')).length, 3);
  const soonest = await list('label=each&order=soonest');
  assert.deepEqual(
    soonest.timers.map(({ id }) => id),
    [delivering, retrying, pending],
  );
  assert.ok(soonest.timers.every((timer) => timer['next_attempt_at'] !== null));
});

test('an entry is the timer without its body and attempts, which it counts', async () => {
  const id = await created({
    method: 'PUT',
    headers: { 'x-a': ['1', '2'] },
    body: 'häh',
    append_id: false,
    timeout: 1.5,
    retry: { max_attempts: 2 },
    labels: ['whole', 'b'],
    metadata: { a: [1, null] },
    expires_after: 60,
  });
  const bare = await created({ labels: ['whole'] });
  const { timers } = await list('label=whole');
  assert.deepEqual(
    timers.map((timer) => timer['id']),
    [bare, id],
  );
  for (const timer of timers) {
    const { attempts, body, time_left, ...rest } = await read(Number(timer['id']));
    const isBare = timer['id'] === bare;
    assert.deepEqual(timer, {
      ...rest,
      time_left: timer['time_left'],
      version: 1,
      key: null,
      attempt_count: 0,
      body_bytes: isBare ? null : 4,
    });
    assert.ok(Math.abs(Number(timer['time_left']) - Number(time_left)) < 5);
    assert.deepEqual([attempts, body], [[], isBare ? undefined : 'häh']);
  }
  const done = await created({ url: `${receiver.url}/gone`, seconds: 0, labels: ['counted'] });
  await eventually('it has failed', async () => (await read(done))['status'] === 'failed');
  const [entry] = (await list('label=counted')).timers;
  assert.equal(entry?.['attempt_count'], 1);
  assert.equal(entry['failure_code'], (await read(done))['failure_code']);
  assert.equal(entry['time_left'], 0);
});

test('pages follow each other by their cursor to the end, and new timers do not disturb them', async () => {
  const ids: number[] = [];
  for (let n = 0; n < 25; n++) ids.push(await created({ labels: ['paged'] }));
  for (const [order, expected] of [
    ['newest', ids.toReversed()],
    ['soonest', ids],
  ] as const) {
    const found: number[] = [];
    let cursor = '';
    for (let pages = 1; ; pages++) {
      const page = await list(`label=paged&order=${order}&limit=10${cursor}`);
      found.push(...page.timers.map(({ id }) => Number(id)));
      if (page.next === null) break;
      assert.ok(pages < 10);
      cursor = `&cursor=${page.next}`;
      if (order === 'newest') await created({ labels: ['paged'] });
    }
    assert.deepEqual(found.slice(0, 25), expected);
    assert.equal(found.length, order === 'newest' ? 25 : 27);
  }
});

test('each filter finds what it is for', async () => {
  const port = new URL(receiver.url).port;
  const id = await created({ url: `http://localhost:${port}/some/where`, labels: ['filtered'] });
  const other = await created({ labels: ['filtered'], hours: 5 });
  const { due_at, created_at } = await read(other);
  const of = (query: string) => idsOf(`label=filtered&${query}`);
  assert.deepEqual(await of('host=LOCALHOST'), [id]);
  assert.deepEqual(await of(`host=localhost:${port}`), [id]);
  assert.deepEqual(await of('host=localhost:1'), []);
  assert.deepEqual(await of(`url_prefix=http://localhost:${port}/some`), [id]);
  assert.deepEqual(await of(`due_after=${String(due_at)}`), [other]);
  assert.deepEqual(await of(`due_before=${String(due_at)}`), [id]);
  assert.deepEqual(await of(`created_after=${String(created_at)}`), [other]);
  assert.deepEqual(await of(`created_before=${String(created_at)}`), [id]);
  assert.deepEqual(await of('due_before=2999-01-01T00:00:00+02:00'), [other, id]);
  assert.deepEqual(await of('key=none'), []);
});

test('what a list does not take is refused by the name of the parameter', async () => {
  const { next } = await list('limit=1');
  assert.ok(next !== null);
  const cases: readonly (readonly [query: string, field: string])[] = [
    ['state=failed', 'state'],
    ['Label=x', 'Label'],
    ['status=', 'status'],
    ['status=lost', 'status'],
    ['status=failed&status=', 'status'],
    ['label=', 'label'],
    ['label=a&label=b', 'label'],
    ['label=%00', 'label'],
    ['host=', 'host'],
    ['host=a%00', 'host'],
    ['host=http://a/', 'host'],
    ['host=a&host=b', 'host'],
    ['key=', 'key'],
    ['key=%C3%A9', 'key'],
    ['key=a&key=b', 'key'],
    ['url_prefix=', 'url_prefix'],
    ['url_prefix=%00', 'url_prefix'],
    ['url_prefix=a&url_prefix=b', 'url_prefix'],
    ...['due_after', 'due_before', 'created_after', 'created_before'].flatMap((field) => [
      [`${field}=`, field] as const,
      [`${field}=2030-01-01`, field] as const,
      [`${field}=2030-01-01T00:00:00Z&${field}=2030-01-01T00:00:00Z`, field] as const,
    ]),
    ['order=oldest', 'order'],
    ['order=newest&order=newest', 'order'],
    ['order=soonest&status=failed', 'order'],
    ['order=soonest&status=live,cancelled', 'order'],
    ['limit=', 'limit'],
    ['limit=0', 'limit'],
    ['limit=501', 'limit'],
    ['limit=1.5', 'limit'],
    ['limit=-1', 'limit'],
    ['limit=1e2', 'limit'],
    ['limit=5&limit=5', 'limit'],
    ['cursor=', 'cursor'],
    ['cursor=abc', 'cursor'],
    [`cursor=${next}x`, 'cursor'],
    [`cursor=${next}&cursor=${next}`, 'cursor'],
    [`cursor=${next}&status=live`, 'cursor'],
    [`cursor=${next}&order=soonest`, 'cursor'],
  ];
  for (const [query, field] of cases) {
    const answer = await request(`${app.url}/timers?${query}`);
    assertProblem(answer, { status: 400, code: 'validation_failed', field }, query);
  }
  // A cursor goes with any limit.
  assert.equal((await list(`limit=500&cursor=${next}`)).timers.length > 1, true);
});

test('a list of nothing is empty and at its end', async () => {
  assert.deepEqual(await list('label=nobody'), { timers: [], next: null });
  assert.deepEqual(await list('created_before=0000-01-01T00:00:00Z'), { timers: [], next: null });
  assert.deepEqual(await list('due_after=9999-12-31T23:59:59.999Z'), { timers: [], next: null });
});

test('a parameter that no list takes is called what it is', async () => {
  const answer = await request(`${app.url}/timers?statuss=failed`);
  assertProblem(answer, { status: 400, code: 'validation_failed', field: 'statuss' });
  assert.match(answer.text, /statuss is not a query parameter of this request/);
});
