import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, request } from '../support/http.ts';
import { startTwoApps } from '../support/twoApps.ts';

const both = await startTwoApps({ RETRY_MAX_ATTEMPTS: '1', LOOK_AHEAD: '3' });
const { db, receiver, app, other, send, answerWith, created } = both;
after(() => both[Symbol.asyncDispose]());

type Action = 'cancel' | 'retry';
type Json = Readonly<Record<string, unknown>>;

async function plan(action: Action, filter: Json): Promise<{ count: number; token: string }> {
  const { status, body } = await send('POST', `/timers/${action}`, { filter, dry_run: true });
  assert.equal(status, 200, JSON.stringify(body));
  assert.equal(body['is_complete'], true);
  return { count: Number(body['count']), token: String(body['token']) };
}

async function run(action: Action, filter: Json, token: string): Promise<Json> {
  for (let next: unknown = token; ;) {
    const { status, body } = await send('POST', `/timers/${action}`, { filter, token: next });
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(body['done'], body['token'] === null);
    if (body['token'] === null) return body;
    next = body['token'];
  }
}

async function statusesOf(label: string): Promise<Json> {
  const rows = await sql<[string, number]>(
    db.database,
    `SELECT coalesce(h.status, 'live'), count(*) FROM belfry.timer_labels l
     LEFT JOIN belfry.history h ON h.id = l.timer_id WHERE l.label = $1 GROUP BY 1`,
    [label],
  );
  return Object.fromEntries(rows);
}

async function refused(action: Action, body: unknown, field: string): Promise<void> {
  const answer = await request(`${app.url}/timers/${action}`, {
    method: 'POST',
    body: JSON.stringify(body),
  });
  assertProblem(answer, { status: 400, code: 'validation_failed' });
  const [problem] = answer.body['fields'] as { field: string }[];
  assert.equal(problem?.field, field, answer.text);
}

test('5,000 timers, waiting, claimed here and there, and one under way: all are cancelled that can be', async () => {
  const label = 'many';
  const fields = { url: `${receiver.url}/many`, labels: [label] };
  const timers = Array.from({ length: 4_800 }, (_, n) => ({ ...fields, delay: 3_600 + n }));
  assert.equal((await send('POST', '/timers/batch', timers)).status, 200);
  for (const to of [app, other]) {
    // Within the look-ahead: claimed by one of the two.
    const near = Array.from({ length: 99 }, () => ({ ...fields, delay: 2.5 }));
    assert.equal((await send('POST', '/timers/batch', near, { to })).status, 200);
  }
  const untouched = [
    await created({ delay: 3_600, labels: ['few'] }),
    await created({ delay: 3_600 }),
  ];
  let release: (status: number) => void = () => undefined;
  answerWith((path) =>
    path.startsWith('/slow') ? new Promise((resolve) => (release = resolve)) : 200,
  );
  const slow = await created({ ...fields, url: `${receiver.url}/slow` });
  await eventually('the slow one has arrived', () => both.arrivals(slow).length === 1);
  const cancelledAlready = await created({ ...fields, delay: 3_600 });
  await app.cancel(cancelledAlready);

  const { count, token } = await plan('cancel', { label });
  assert.equal(count, 4_999);
  const later = await created({ ...fields, delay: 3_600 });
  const { changed, skipped, failed } = await run('cancel', { label }, token);
  assert.deepEqual({ changed, skipped, failed }, { changed: 4_998, skipped: 1, failed: 0 });

  release(200);
  await both.finished(slow, 'succeeded');
  assert.deepEqual(await statusesOf(label), { cancelled: 4_999, succeeded: 1, live: 1 });
  for (const id of [...untouched, later]) {
    assert.equal((await app.get(`/timers/${id}`)).body['status'], 'pending');
  }
  assert.equal(receiver.arrivals.filter(({ path }) => path.startsWith('/many')).length, 0);

  // Sent again, as after a lost answer: there is nothing left to do.
  const again = await run('cancel', { label }, token);
  assert.deepEqual([again['changed'], again['skipped']], [0, 0]);
  await app.cancel(later);
});

test('failed timers of a host are tried again, others stay as they are', async () => {
  const label = 'dead letters';
  const host = new URL(receiver.url).host;
  answerWith(() => 410);
  const failed = await Promise.all(
    Array.from({ length: 20 }, () => created({ labels: [label], url: `${receiver.url}/f` })),
  );
  for (const id of failed) await both.finished(id, 'failed');
  answerWith(() => 200);
  const cancelled = await created({ labels: [label], delay: 3_600 });
  await app.cancel(cancelled);

  assert.equal((await plan('retry', { label })).count, 21);
  assert.equal((await plan('retry', { label, host: 'elsewhere.example' })).count, 0);
  const filter = { label, host, status: ['failed'] };
  const { count, token } = await plan('retry', filter);
  assert.equal(count, 20);
  assert.equal((await run('retry', filter, token))['changed'], 20);
  for (const id of failed) await both.finished(id, 'succeeded');
  assert.deepEqual(await statusesOf(label), { succeeded: 20, cancelled: 1 });
});

test('nothing happens without a token of the same filter, nor for a filter that says nothing', async () => {
  const id = await created({ delay: 3_600, labels: ['kept'] });
  const filter = { label: 'kept' };
  const { token } = await plan('cancel', filter);
  await refused('cancel', { filter }, 'token');
  await refused('cancel', { filter, token: 'x' }, 'token');
  await refused('cancel', { filter: { label: 'other' }, token }, 'token');
  await refused('cancel', { filter: { ...filter, status: 'pending' }, token }, 'token');
  await refused('cancel', { filter, token, dry_run: true }, 'token');
  await refused('retry', { filter, token }, 'token');
  for (const action of ['cancel', 'retry'] as const) {
    await refused(action, {}, 'filter');
    await refused(action, { filter: {} }, 'filter');
    await refused(action, { filter: [], token }, 'filter');
    await refused(action, { filter: { tag: 'kept' } }, 'filter.tag');
    await refused(action, { filter: { status: 'succeeded' } }, 'filter.status');
    await refused(action, { filter, dry_run: 'yes' }, 'dry_run');
    await refused(action, { filter, limit: 1 }, 'limit');
  }
  assert.equal((await app.get(`/timers/${id}`)).body['status'], 'pending');
  // Signed for all processes of the installation.
  const { status } = await send('POST', '/timers/cancel', { filter, token }, { to: other });
  assert.equal(status, 200);
  assert.equal((await app.get(`/timers/${id}`)).body['status'], 'cancelled');
});
