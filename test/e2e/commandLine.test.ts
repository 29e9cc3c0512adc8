import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { readConnectionFile } from '../../src/store/embedded.ts';
import { IS_ROOT, makeDataDir, queryValue, runningPid } from '../integration/embeddedFixture.ts';
import { runBelfry, spawnBelfry, startBelfry } from '../support/belfryProcess.ts';
import { createTestDatabase } from '../support/database.ts';
import { startReceiver } from '../support/receiver.ts';

void test('a bad setting stops the start with one line that says what it takes', async () => {
  const cases = [
    [
      { WEBHOOK_TIMEOUT: 'abc' },
      /^belfry: WEBHOOK_TIMEOUT got "abc"; it takes a number of seconds/,
    ],
    [{ PORT: '99999' }, /^belfry: PORT got "99999"; it takes a whole number from 0 to 65535/],
    [{ ALLOW_REDIRECTS: 'maybe' }, /^belfry: ALLOW_REDIRECTS got "maybe"; it takes "true" or/],
  ] as const;
  for (const [environment, expected] of cases) {
    for (const command of ['dev', 'serve']) {
      const { code, stdout, stderr } = await runBelfry([command], environment);
      assert.equal(code, 2, `${command} ${JSON.stringify(environment)}: ${stderr}`);
      assert.match(stderr, expected);
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
      assert.equal(stdout, '');
    }
  }
  const secret = await runBelfry(['serve'], { DATABASE_URL: 'nonsense:hunter2' });
  assert.equal(secret.code, 2);
  assert.doesNotMatch(secret.stderr, /hunter2/);
});

void test('an unknown command is refused, help is not', async () => {
  const unknown = await runBelfry(['sevre']);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /unknown command "sevre"[\s\S]*belfry serve/);
  assert.equal((await runBelfry(['dev', 'extra'])).code, 2);
  const help = await runBelfry(['help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /belfry migrate/);
});

void test('a port that is taken ends the start with a line that names it', async () => {
  await using database = await createTestDatabase();
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  try {
    await using belfry = await spawnBelfry({
      command: 'serve',
      environment: { DATABASE_URL: database.url, PORT: String(port) },
    });
    assert.deepEqual(await belfry.exited, { code: 1, signal: null });
    assert.match(belfry.stderr(), new RegExp(`^belfry: .*in use.*${port}`, 'm'));
    assert.doesNotMatch(belfry.stderr(), /\n +at /, 'no stack');
  } finally {
    await new Promise((resolve) => taken.close(resolve));
  }
});

void test('one service a data directory; migrate attaches to it, or works alone', async (t) => {
  const dataDir = await makeDataDir(t);
  const environment = { DATA_DIR: dataDir };

  const refused = await spawnBelfry({
    command: 'serve',
    environment: { ...environment, MIGRATE_ON_START: 'false' },
  });
  assert.deepEqual(await refused.exited, { code: 1, signal: null });
  assert.match(refused.stderr(), /run "belfry migrate" first \(MIGRATE_ON_START is false\)/);
  await refused[Symbol.asyncDispose]();
  await assert.rejects(runningPid(dataDir), 'its PostgreSQL is stopped again');

  const alone = await runBelfry(['migrate'], environment);
  assert.equal(alone.code, 0, alone.stderr);
  assert.match(alone.stdout, /^Applied: .*initial|^Applied: /m);
  await assert.rejects(runningPid(dataDir), 'migrate stops what it has started');

  await using first = await startBelfry({
    command: 'dev',
    environment: { ...environment, MIGRATE_ON_START: 'false' },
  });
  const attached = await runBelfry(['migrate'], environment);
  assert.equal(attached.code, 0, attached.stderr);
  assert.match(attached.stdout, /The schema is current/);

  await using second = await spawnBelfry({ command: 'dev', environment });
  assert.deepEqual(await second.exited, { code: 1, signal: null });
  assert.match(second.stderr(), /^belfry: another Belfry service is running on .*data$/m);
  assert.equal((await first.timers.get('/ready')).status, 200, 'the first is not disturbed');

  first.signal('SIGTERM');
  assert.deepEqual(await first.exited, { code: 0, signal: null });
  await assert.rejects(runningPid(dataDir));
});

void test(
  'as root it runs from a data directory that the server’s user cannot reach',
  IS_ROOT ? {} : { skip: 'NOT TESTED: needs root' },
  async (t) => {
    const dataDir = await makeDataDir(t, 0o700);
    await using receiver = await startReceiver();
    for (const _ of ['first', 'again']) {
      await using belfry = await startBelfry({
        command: 'dev',
        environment: { DATA_DIR: dataDir },
      });
      assert.match(belfry.stdout(), /PostgreSQL: embedded, data in \/var\/lib\/belfry\//);
      const { id } = await belfry.timers.created({ url: receiver.url, seconds: 0 });
      await receiver.arrived(id);
      belfry.signal('SIGTERM');
      assert.deepEqual(await belfry.exited, { code: 0, signal: null });
    }
    assert.equal(await readConnectionFile(dataDir), undefined);
  },
);

void test('four processes that start at once on an empty database share the migration', async () => {
  await using database = await createTestDatabase({ empty: true });
  const started = await Promise.all(
    Array.from({ length: 4 }, () =>
      spawnBelfry({ command: 'serve', environment: { DATABASE_URL: database.url } }),
    ),
  );
  try {
    await Promise.all(started.map((belfry) => belfry.ready()));
    const statement = 'SELECT count(*) FROM belfry.schema_migrations';
    assert.equal(await queryValue(database.url, `${statement} WHERE version = 1`), '1');
    assert.equal(await queryValue(database.url, 'SELECT count(*) FROM belfry.installation'), '1');
    for (const belfry of started) belfry.signal('SIGTERM');
    const exits = await Promise.all(started.map((belfry) => belfry.exited));
    assert.deepEqual(
      exits.map(({ code }) => code),
      [0, 0, 0, 0],
    );
  } finally {
    for (const belfry of started) await belfry[Symbol.asyncDispose]();
  }
});
