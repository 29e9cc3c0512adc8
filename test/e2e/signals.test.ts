import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { makeDataDir, runningPid } from '../integration/embeddedFixture.ts';
import { freePort, startBelfry, type BelfryProcess } from '../support/belfryProcess.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver, type Receiver } from '../support/receiver.ts';
import { createTimerClient, type TimerClient } from '../support/timerClient.ts';

/** A receiver that answers `/slow/…` when told to, and everything else at once. */
async function startSlowReceiver(): Promise<{ receiver: Receiver; answer: () => void }> {
  const waiting: (() => void)[] = [];
  const receiver = await startReceiver((res, { path }) => {
    if (path.startsWith('/slow/')) waiting.push(() => res.end());
    else res.end();
  });
  return {
    receiver,
    answer() {
      for (const end of waiting.splice(0)) end();
    },
  };
}

/** One attempt under way, and timers that are claimed but not due. */
async function loadUp(timers: TimerClient, receiver: Receiver): Promise<number[]> {
  await timers.created({ url: `${receiver.url}/slow`, seconds: 0 });
  const ids: number[] = [];
  for (let index = 0; index < 20; index++) {
    // Within twice the look-ahead: inserted already claimed.
    ids.push((await timers.created({ url: `${receiver.url}/later`, delay: 1.9 })).id);
  }
  await receiver.arrived(1);
  return ids;
}

async function drains(
  belfry: BelfryProcess,
  held: { receiver: Receiver; answer: () => void },
): Promise<void> {
  await eventually('it accepts no more', async () => {
    const refused = await belfry.timers.get('/health').then(
      () => false,
      () => true,
    );
    return refused;
  });
  assert.equal(belfry.hasExited(), false, 'it waits for the attempt under way');
  held.answer();
  assert.deepEqual(await belfry.exited, { code: 0, signal: null });
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  void test(`${signal} drains what is under way, gives the rest back, and exits 0`, async () => {
    await using database = await createTestDatabase();
    const held = await startSlowReceiver();
    await using receiver = held.receiver;
    await using belfry = await startBelfry({
      command: 'serve',
      environment: {
        DATABASE_URL: database.url,
        ALLOW_TARGETS: '127.0.0.1',
        WEBHOOK_TIMEOUT: '30',
        LOOK_AHEAD: '30',
      },
    });
    const { timers } = belfry;
    await timers.created({ url: `${receiver.url}/slow`, seconds: 0 });
    for (let index = 0; index < 20; index++) {
      await timers.created({ url: `${receiver.url}/later`, seconds: 25 });
    }
    await receiver.arrived(1);
    const owned = 'SELECT count(*) FROM belfry.timers WHERE owner IS NOT NULL';
    assert.equal((await sql<[number]>(database.database, owned))[0]?.[0], 21);
    belfry.signal(signal);
    await drains(belfry, held);

    const [row] = await sql<[number, number, number]>(
      database.database,
      `SELECT count(*), count(owner), sum(attempts) FROM belfry.timers`,
    );
    assert.deepEqual(row, [20, 0, 0], 'given back, unstarted, and no attempt used up');
    const [done] = await sql<[string, number]>(
      database.database,
      'SELECT status, attempts FROM belfry.history',
    );
    assert.deepEqual(done, ['succeeded', 1]);
    const [alive] = await sql<[number]>(
      database.database,
      'SELECT count(*) FROM belfry.processes WHERE NOT dead',
    );
    assert.equal(alive?.[0], 0, 'its heartbeat is retired');
    assert.equal(receiver.arrivals.length, 1);
  });
}

void test('the embedded PostgreSQL outlives a Ctrl-C until the drain is over', async (t) => {
  const dataDir = await makeDataDir(t);
  const held = await startSlowReceiver();
  await using receiver = held.receiver;
  await using belfry = await startBelfry({
    command: 'dev',
    environment: { DATA_DIR: dataDir, WEBHOOK_TIMEOUT: '30' },
  });
  const ids = await loadUp(belfry.timers, receiver);
  const postmaster = await runningPid(dataDir);
  // What a terminal does: everybody in the foreground group gets it.
  belfry.signal('SIGINT', 'group');
  await drains(belfry, held);
  await assert.rejects(runningPid(dataDir), 'PostgreSQL is stopped after the drain');
  assert.throws(() => process.kill(postmaster, 0), { code: 'ESRCH' });
  assert.doesNotMatch(belfry.stdout() + belfry.stderr(), /PostgreSQL died|could not/);

  await using again = await startBelfry({ command: 'dev', environment: { DATA_DIR: dataDir } });
  await receiver.arrived(1 + ids.length);
  for (const id of ids) {
    const timer = await eventually(`timer ${id} has ended`, async () => {
      const read = await again.timers.read(id);
      return read.status === 'succeeded' ? read : undefined;
    });
    assert.equal(timer.attempts.length, 1, 'the shutdown used up no attempt');
  }
});

void test(
  'Ctrl-C in a real terminal drains and exits 0',
  existsSync('/usr/bin/script') ? {} : { skip: 'NOT TESTED: needs script(1)' },
  async (t) => {
    const dataDir = await makeDataDir(t);
    const held = await startSlowReceiver();
    await using receiver = held.receiver;
    const port = await freePort();
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
    const child = spawn(
      '/usr/bin/script',
      ['-qec', `exec '${process.execPath}' '${main}' dev`, '/dev/null'],
      {
        env: {
          PATH: process.env['PATH'] ?? '',
          SHELL: '/bin/sh',
          PORT: String(port),
          DATA_DIR: dataDir,
          WEBHOOK_TIMEOUT: '30',
        },
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
    const timers = createTimerClient(`http://127.0.0.1:${port}`);
    try {
      await eventually(
        'belfry is ready',
        async () => (await timers.get('/ready').catch(() => undefined))?.status === 200,
        60_000,
      );
      await timers.created({ url: `${receiver.url}/slow`, seconds: 0 });
      await receiver.arrived(1);
      child.stdin.write('\u0003');
      await eventually('it has heard', () => output.includes('stopping'));
      held.answer();
      assert.equal(await exited, 0, output);
      await assert.rejects(runningPid(dataDir), 'PostgreSQL is stopped after the drain');
      assert.doesNotMatch(output, /PostgreSQL died|could not/);
    } finally {
      child.kill('SIGKILL');
      await timers.close();
    }
  },
);

void test('a second signal exits at once', async () => {
  await using database = await createTestDatabase();
  const held = await startSlowReceiver();
  await using receiver = held.receiver;
  await using belfry = await startBelfry({
    command: 'serve',
    environment: {
      DATABASE_URL: database.url,
      ALLOW_TARGETS: '127.0.0.1',
      WEBHOOK_TIMEOUT: '60',
      SHUTDOWN_TIMEOUT: '60',
    },
  });
  await belfry.timers.created({ url: `${receiver.url}/slow`, seconds: 0 });
  await receiver.arrived(1);
  belfry.signal('SIGTERM');
  await eventually('it accepts no more', () =>
    belfry.timers.get('/health').then(
      () => false,
      () => true,
    ),
  );
  const atMs = performance.now();
  belfry.signal('SIGINT');
  assert.deepEqual(await belfry.exited, { code: 130, signal: null });
  assert.ok(performance.now() - atMs < 2_000);
});

void test('a drain is bounded by SHUTDOWN_TIMEOUT', async () => {
  await using database = await createTestDatabase();
  const held = await startSlowReceiver();
  await using receiver = held.receiver;
  await using belfry = await startBelfry({
    command: 'serve',
    environment: {
      DATABASE_URL: database.url,
      ALLOW_TARGETS: '127.0.0.1',
      WEBHOOK_TIMEOUT: '60',
      SHUTDOWN_TIMEOUT: '0.5',
    },
  });
  await belfry.timers.created({ url: `${receiver.url}/slow`, seconds: 0 });
  await receiver.arrived(1);
  const atMs = performance.now();
  belfry.signal('SIGTERM');
  assert.deepEqual(await belfry.exited, { code: 0, signal: null });
  const tookMs = performance.now() - atMs;
  assert.ok(tookMs > 400 && tookMs < 5_000, `it took ${tookMs} ms`);
});

for (const command of ['serve', 'dev'] as const) {
  void test(`a defect is logged and ends belfry ${command} with an exit code`, async () => {
    await using database = await createTestDatabase();
    const defect = `process.on('SIGUSR2', () => { throw new Error('the planted defect') })`;
    await using belfry = await startBelfry({
      command,
      environment: { DATABASE_URL: database.url },
      nodeArguments: ['--import', `data:text/javascript,${encodeURIComponent(defect)}`],
    });
    belfry.signal('SIGUSR2');
    assert.deepEqual(await belfry.exited, { code: 1, signal: null });
    assert.match(belfry.stdout() + belfry.stderr(), /the planted defect/);
  });
}
