import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { startBelfry } from '../support/belfryProcess.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';
import { failOnce, startPostgresProxy } from '../support/tcpProxy.ts';

/** Replies (and requests) between Belfry and PostgreSQL get lost, one statement at a time. */
export async function lostReplies(t: TestContext, options: { repeats: number }): Promise<void> {
  await using database = await createTestDatabase();
  await using postgres = await startPostgresProxy(database.url);
  const failing = new Set<string>();
  await using receiver = await startReceiver((res, { path }) => {
    if (path.includes('/flaky') && !failing.has(path)) {
      failing.add(path);
      res.statusCode = 500;
    }
    res.end();
  });
  await using belfry = await startBelfry({
    command: 'serve',
    environment: {
      DATABASE_URL: postgres.url,
      DATABASE_DIRECT_URL: database.url,
      ALLOW_TARGETS: '127.0.0.1',
      RETRY_BASE: '1',
    },
  });
  const { timers } = belfry;
  const { proxy } = postgres;
  let lastPath = 0;
  const freshPath = (what: string) => `/${what}-${(lastPath += 1)}`;
  const arrivalsAt = (path: string) =>
    receiver.arrivals.filter((arrival) => arrival.path.startsWith(`${path}/`));
  const storedAt = async (path: string) =>
    (
      await sql<[number, string]>(
        database.database,
        `SELECT id, 'open' FROM belfry.timers WHERE url LIKE '%' || $1
         UNION ALL SELECT id, status FROM belfry.history WHERE url LIKE '%' || $1`,
        [path],
      )
    ).map(([id, status]) => ({ id, status }));
  const finished = (path: string) =>
    eventually(`the timer of ${path} has ended`, async () => {
      const [stored] = await storedAt(path);
      return stored?.status === 'open' ? undefined : stored;
    });

  async function repeat(run: () => Promise<void>): Promise<void> {
    for (let count = 0; count < options.repeats; count++) await run();
    // A second arrival would come with the sweep, which runs every second.
    await sleep(1_500);
    assert.equal(await timers.metric('belfry_stale_outcomes_total'), 0);
  }

  for (const delay of [0.4, 3]) {
    const when = delay < 2 ? 'inserted already claimed' : 'inserted unclaimed';
    await t.test(`a create whose answer is lost, ${when}, fires once`, async () => {
      const paths: string[] = [];
      await repeat(async () => {
        const path = freshPath('create');
        paths.push(path);
        const lost = failOnce(proxy, 'create_timers', 'answer');
        const answer = await timers.create({ url: `${receiver.url}${path}`, delay });
        await lost;
        assert.deepEqual([answer.status, answer.body['code']], [503, 'commit_unknown']);
        assert.ok(answer.headers['retry-after'] !== undefined);
        assert.equal((await storedAt(path)).length, 1, 'the row is there');
        assert.equal((await finished(path)).status, 'succeeded');
      });
      for (const path of paths) assert.equal(arrivalsAt(path).length, 1, path);
    });
  }

  await t.test(
    'a create whose answer is lost is asked again under its key: one timer',
    async () => {
      const paths: string[] = [];
      await repeat(async () => {
        const path = freshPath('keyed');
        paths.push(path);
        const lost = failOnce(proxy, 'create_keyed_timers', 'answer');
        const ask = () =>
          timers.create({ url: `${receiver.url}${path}`, delay: 0.4 }, { 'idempotency-key': path });
        const answer = await ask();
        await lost;
        assert.deepEqual([answer.status, answer.body['code']], [503, 'commit_unknown']);
        const again = await ask();
        assert.deepEqual([again.status, again.headers['idempotent-replayed']], [201, 'true']);
        const stored = await finished(path);
        assert.deepEqual(stored, { id: again.body['id'], status: 'succeeded' });
      });
      for (const path of paths) assert.equal(arrivalsAt(path).length, 1, path);
    },
  );

  await t.test('a create that never reached the database leaves nothing', async () => {
    const paths: string[] = [];
    await repeat(async () => {
      const path = freshPath('create');
      paths.push(path);
      const lost = failOnce(proxy, 'create_timers', 'request');
      const answer = await timers.create({ url: `${receiver.url}${path}`, seconds: 0 });
      await lost;
      assert.equal(answer.status, 503);
    });
    for (const path of paths) {
      assert.equal((await storedAt(path)).length, 0);
      assert.equal(arrivalsAt(path).length, 0);
    }
  });

  for (const outcome of ['a success', 'a failure with a retry'] as const) {
    for (const part of ['answer', 'request'] as const) {
      await t.test(`the ${part} of recording ${outcome} is lost: recorded once`, async () => {
        const paths: string[] = [];
        await repeat(async () => {
          const path = freshPath(outcome === 'a success' ? 'record' : 'flaky');
          paths.push(path);
          const lost = failOnce(proxy, 'record_outcomes', part);
          const { id } = await timers.created({ url: `${receiver.url}${path}`, seconds: 0 });
          await lost;
          assert.equal((await finished(path)).status, 'succeeded');
          const { attempts } = await timers.read(id);
          const statuses = attempts.map(({ status }) => status);
          assert.deepEqual(statuses, outcome === 'a success' ? [200] : [500, 200]);
        });
        for (const path of paths) {
          assert.equal(arrivalsAt(path).length, outcome === 'a success' ? 1 : 2, path);
        }
      });
    }
  }

  await t.test('timers under a claim whose answer is lost fire all the same', async () => {
    await repeat(async () => {
      const path = freshPath('claim');
      const created = await Promise.all(
        Array.from({ length: 20 }, () =>
          timers.created({ url: `${receiver.url}${path}`, delay: 2.6 }),
        ),
      );
      // Polls go on all the time: only the one that claims these rows may meet the fault.
      let armed = true;
      const lost = new Promise<void>((resolve) => {
        proxy.onChunk = (direction, chunk) => {
          if (!armed || direction !== 'toClient' || !chunk.includes(path)) return 'pass';
          armed = false;
          resolve();
          return 'cut';
        };
      });
      await lost;
      await eventually('all have arrived', () => arrivalsAt(path).length >= created.length);
      for (const { id, dueAtMs } of created) {
        const timer = await eventually('it has ended', async () => {
          const read = await timers.read(id);
          return read.status === 'succeeded' ? read : undefined;
        });
        assert.equal(timer.attempts.length, 1, 'no attempt counts as lost');
        assert.equal(Date.parse(timer.due_at), dueAtMs);
      }
      assert.equal(arrivalsAt(path).length, created.length);
    });
  });

  for (const part of ['answer', 'request'] as const) {
    for (const delay of [1.2, 3.5]) {
      const whose = delay < 2 ? 'held by this process' : 'held by nobody';
      await t.test(`the ${part} of a cancel is lost, ${whose}: cancelled or fired`, async () => {
        const expected = part === 'answer' ? 'cancelled' : 'succeeded';
        const paths: string[] = [];
        await repeat(async () => {
          const path = freshPath('cancel');
          paths.push(path);
          const { id } = await timers.created({ url: `${receiver.url}${path}`, delay });
          const lost = failOnce(proxy, 'cancel_timers', part);
          const answer = await timers.cancel(id);
          await lost;
          assert.deepEqual([answer.status, answer.body['code']], [503, 'commit_unknown']);
          assert.equal((await finished(path)).status, expected);
        });
        for (const path of paths) {
          assert.equal(arrivalsAt(path).length, expected === 'cancelled' ? 0 : 1, path);
        }
      });
    }
  }

  for (const part of ['answer', 'request'] as const) {
    await t.test(`the ${part} of a heartbeat is lost: nothing is given up`, async () => {
      const path = freshPath('heartbeat');
      const { id } = await timers.created({ url: `${receiver.url}${path}`, delay: 1.8 });
      await failOnce(proxy, 'renew_process', part);
      assert.equal((await finished(path)).status, 'succeeded');
      assert.equal((await timers.read(id)).attempts.length, 1);
      assert.equal(await timers.metric('belfry_leases_lost_total'), 0);
    });
  }
}
