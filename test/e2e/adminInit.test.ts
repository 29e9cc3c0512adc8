import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBelfry, spawnBelfry, startBelfry } from '../support/belfryProcess.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

void test('belfry admin init gives the first token once, and closes what was open on loopback', async () => {
  await using database = await createTestDatabase();
  const environment = { DATABASE_URL: database.url };
  await using belfry = await startBelfry({ command: 'serve', environment });
  assert.equal((await belfry.timers.get('/timers')).status, 200);

  const given = await runBelfry(['admin', 'init', '--json'], environment);
  assert.equal(given.code, 0, given.stderr);
  const { token } = JSON.parse(given.stdout) as { token: string };
  assert.match(token, /^bel_[0-9a-f]{16}_[\w-]{43}$/);
  await eventually(
    'it is asked for',
    async () => (await belfry.timers.get('/timers')).status === 401,
  );
  const status = async (of: string) => {
    const headers = { authorization: `Bearer ${of}` };
    return (await fetch(`${belfry.url}/projects`, { headers })).status;
  };
  assert.equal(await status(token), 200);

  const again = await runBelfry(['admin', 'init'], environment);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /--again/);
  const other = await runBelfry(['admin', 'init', '--again', '--json'], environment);
  const { token: next } = JSON.parse(other.stdout) as { token: string };
  assert.equal(await status(next), 200);
  await eventually('the lost one is revoked', async () => (await status(token)) === 401);
});

void test('beyond loopback nothing starts before somebody has a token, unless AUTH says so', async () => {
  await using database = await createTestDatabase();
  const environment = { DATABASE_URL: database.url, HOST: '0.0.0.0' };
  {
    await using refused = await spawnBelfry({ command: 'serve', environment });
    assert.equal((await refused.exited).code, 2);
    assert.match(
      refused.stderr(),
      /^belfry: HOST=0\.0\.0\.0 is not a loopback address.*admin init/m,
    );
  }
  {
    await using open = await startBelfry({
      command: 'serve',
      environment: { ...environment, AUTH: 'off' },
    });
    assert.equal((await open.timers.get('/timers')).status, 200);
  }
  assert.equal((await runBelfry(['admin', 'init'], environment)).code, 0);
  await using closed = await startBelfry({ command: 'serve', environment });
  assert.equal((await closed.timers.get('/timers')).status, 401);
});
