import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient, type BulkProgress } from '../../packages/client/src/index.ts';
import { startBelfry } from '../support/belfryProcess.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';

void test('a bulk cancel whose process is killed goes on at another with the last token, to the end', async (t) => {
  await using database = await createTestDatabase();
  await using receiver = await startReceiver();
  const service = {
    command: 'serve',
    environment: {
      DATABASE_URL: database.url,
      ALLOW_TARGETS: '127.0.0.1',
      HEARTBEAT_TTL: '1',
      LOOK_AHEAD: '60',
    },
  } as const;
  await using killed = await startBelfry(service);
  await using other = await startBelfry(service);
  const { timers } = createClient({ url: killed.url, retries: 0 });
  const filter = { label: 'bulk' };
  const labels = ['bulk', 'x'];
  // A part is claimed by the process that will be killed, the rest by nobody.
  const near = Array.from({ length: 500 }, () => ({ url: receiver.url, seconds: 50, labels }));
  const far = Array.from({ length: 29_500 }, () => ({ url: receiver.url, hours: 1, labels }));
  for (const { status } of await timers.batch([...near, ...far])) assert.equal(status, 201);
  const { count, token } = await timers.planCancel(filter);
  assert.equal(count, 30_000);

  const gone = timers.cancelWhere(filter, { token }).then(
    () => assert.fail('it was to be killed before its end'),
    () => undefined,
  );
  const cancelled = async () => {
    const [row] = await sql<[number]>(
      database.database,
      `SELECT count(*) FROM belfry.history WHERE status = 'cancelled'`,
    );
    return row?.[0] ?? 0;
  };
  await eventually('some are cancelled', async () => (await cancelled()) > 1_000);
  killed.signal('SIGKILL');
  await gone;
  const before = await cancelled();
  t.diagnostic(`${before} were cancelled at the kill`);
  assert.ok(before < 30_000);

  const steps: BulkProgress[] = [];
  const { timers: elsewhere } = createClient({ url: other.url });
  const { changed, skipped, failed } = await elsewhere.cancelWhere(filter, {
    token,
    onProgress: (step) => steps.push(step),
  });
  assert.deepEqual([changed + failed, skipped], [30_000 - before, 0]);
  // Those that the killed process held, until its heartbeat has lapsed.
  assert.ok(failed <= near.length, `${failed} failed`);
  for (let left = failed; left > 0;) left = (await elsewhere.cancelWhere(filter)).failed;
  assert.equal(await cancelled(), 30_000);
  assert.equal(receiver.arrivals.length, 0);
  t.diagnostic(`the rest in ${steps.length} steps`);
});
