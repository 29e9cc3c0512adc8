import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBelfry, type BelfryProcess } from '../support/belfryProcess.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

const db = await createTestDatabase();
const environment = { DATABASE_URL: db.url, AUTH: 'off', ALLOW_TARGETS: '127.0.0.0/8' };
const start = () => startBelfry({ command: 'serve', environment });
const processes = await Promise.all([start(), start()]);
after(async () => {
  for (const each of processes) await each[Symbol.asyncDispose]();
  await db[Symbol.asyncDispose]();
});

const timer = JSON.stringify({ url: 'http://127.0.0.1:9/', hours: 1 });

async function ask(to: BelfryProcess, method: string, path: string, body?: string) {
  const answer = await fetch(`${to.url}${path}`, {
    method,
    ...(body === undefined ? {} : { body }),
  });
  await answer.arrayBuffer();
  return answer.status;
}

const set = async (limits: object) => {
  const [to] = processes;
  assert.equal(await ask(to, 'PATCH', '/projects/1/limits', JSON.stringify(limits)), 200);
  // Known everywhere within a second.
  await sleep(1_000);
};

async function live(): Promise<number> {
  const [row] = await sql<[number]>(db.database, 'SELECT count(*) FROM belfry.timers');
  return row?.[0] ?? NaN;
}

test('over two processes as many requests are let through as the rate allows', async () => {
  // Longer where it is asked for: npm run test:limits.
  const seconds = Number(process.env['BELFRY_TEST_RATE_SECONDS'] ?? 4);
  await set({ rate: { requests: 100, burst: 50 } });
  const startMs = performance.now();
  const endMs = startMs + seconds * 1_000;
  let passed = 0;
  let asked = 0;
  const lane = async (to: BelfryProcess) => {
    while (performance.now() < endMs) {
      const status = await ask(to, 'GET', '/whoami');
      assert.ok(status === 200 || status === 429, String(status));
      asked += 1;
      if (status === 200) passed += 1;
      // More than the rate, and no more than a machine with others on it can do.
      await sleep(8);
    }
  };
  await Promise.all(processes.flatMap((to) => Array.from({ length: 4 }, () => lane(to))));
  const tookMs = performance.now() - startMs;
  const allowed = (100 * tookMs) / 1_000 + 50;
  console.log(
    `${asked} asked, ${passed} of ${Math.round(allowed)} passed in ${Math.round(tookMs)} ms`,
  );
  // What was taken in the half second before may come on top.
  assert.ok(passed <= allowed + 50, `${passed} of ${allowed}`);
  const least = seconds > 30 ? 0.9 : 0.6;
  assert.ok(passed >= least * allowed, `${passed} of ${allowed}`);
});

test('what a killed process held of a quota comes back, and never is there more than the quota', async () => {
  await set({ rate: null, live_timers: 300 });
  const [first, second] = processes;
  const lane = async (to: BelfryProcess) => {
    for (let time = 0; time < 40; time++) {
      const status = await ask(to, 'POST', '/timers', timer).catch(() => 0);
      if (status === 0) return;
      assert.ok(status === 201 || status === 403, String(status));
    }
  };
  const creating = processes.flatMap((to) => Array.from({ length: 8 }, () => lane(to)));
  await eventually('both create', async () => (await live()) > 60);
  first.signal('SIGKILL');
  await Promise.all(creating);
  assert.ok((await live()) <= 300);
  await eventually(
    'all of it is used',
    async () => {
      await ask(second, 'POST', '/timers', timer);
      return (await live()) === 300;
    },
    30_000,
  );
  assert.equal(await ask(second, 'POST', '/timers', timer), 403);
  assert.equal(await live(), 300);
});
