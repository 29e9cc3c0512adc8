import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBelfry } from '../support/belfryProcess.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';

/*
 * The commands about many timers, against a server that answers from a script: how they ask.
 * What the service makes of it is in clientChanges.test.ts.
 */

async function startScripted(...answers: readonly unknown[]): Promise<Receiver> {
  let next = 0;
  return startReceiver((res) => {
    res.end(JSON.stringify(answers[next]));
    next += 1;
  });
}

const plan = { count: 3, is_complete: false, token: 'p' };
const sentTo = ({ arrivals }: Receiver) =>
  arrivals.map(({ method, path, body }) => [`${method} ${path}`, JSON.parse(body) as unknown]);

void test('a filter changes nothing before somebody has agreed, or --yes is given', async () => {
  await using server = await startScripted(plan, plan);
  const args = ['timers', 'cancel', '--label', 'a', '--url', server.url];
  const refused = await runBelfry(args);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /^belfry: at least 3 timers to cancel: add --yes/);
  const counted = await runBelfry([...args, '--dry-run']);
  assert.deepEqual([counted.code, counted.stdout], [0, '{"count":3,"is_complete":false}\n']);
  const dryRun = ['POST /timers/cancel', { filter: { label: 'a' }, dry_run: true }];
  assert.deepEqual(sentTo(server), [dryRun, dryRun]);
});

void test('with --yes it goes on to the end, and fails when some could not be changed', async () => {
  await using server = await startScripted(
    plan,
    { done: false, changed: 1, skipped: 0, examined: 1, token: 's' },
    { done: true, changed: 2, skipped: 0, failed: 1, examined: 3, token: null },
  );
  const filter = ['--status', 'failed,cancelled', '--url-prefix', 'http://a', '--due-before', 'x'];
  const { code, stdout } = await runBelfry([
    'timers',
    'retry',
    ...filter,
    '--yes',
    '--url',
    server.url,
  ]);
  assert.equal(code, 1);
  assert.deepEqual(JSON.parse(stdout), { changed: 2, skipped: 0, failed: 1 });
  const sent = { url_prefix: 'http://a', due_before: 'x', status: ['failed', 'cancelled'] };
  assert.deepEqual(sentTo(server), [
    ['POST /timers/retry', { filter: sent, dry_run: true }],
    ['POST /timers/retry', { filter: sent, token: 'p' }],
    ['POST /timers/retry', { filter: sent, token: 's' }],
  ]);
});

void test('list goes over pages, and no further than its limit', async () => {
  await using server = await startScripted(
    { timers: [{ id: 3 }], next: 'c' },
    { timers: [], next: 'd' },
    { timers: [{ id: 2 }, { id: 1 }], next: 'e' },
  );
  const { code, stdout } = await runBelfry([
    'timers',
    'list',
    '--limit',
    '2',
    '--order',
    'soonest',
    '--url',
    server.url,
  ]);
  assert.deepEqual([code, stdout], [0, '{"id":3}\n{"id":2}\n']);
  assert.deepEqual(
    server.arrivals.map(({ path }) => path),
    ['', '&cursor=c', '&cursor=d'].map((cursor) => `/timers?order=soonest&limit=2${cursor}`),
  );
});
