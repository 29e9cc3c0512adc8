import assert from 'node:assert/strict';
import { readFile, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { realpath } from 'node:fs/promises';
import { test } from 'node:test';
import { makeDataDir } from '../integration/embeddedFixture.ts';
import { spawnBelfry, startBelfry } from '../support/belfryProcess.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';

void test('the embedded database comes with a key of its own, kept beside it, without which it does not start', async (t) => {
  const dataDir = await makeDataDir(t);
  const options = { command: 'dev', environment: { DATA_DIR: dataDir } } as const;
  await using receiver = await startReceiver();
  const headers = { authorization: 'Bearer s3cr3t-0123456789' };
  let id: number;
  {
    await using belfry = await startBelfry(options);
    ({ id } = await belfry.timers.created({ url: receiver.url, headers, delay: 3_600 }));
    belfry.signal('SIGTERM');
    await belfry.exited;
  }
  // Where root runs PostgreSQL as somebody else, the data may lie elsewhere.
  const path = join(dirname(await realpath(join(dataDir, 'postgres'))), 'secret.keys');
  const { mode, uid } = await stat(path);
  assert.equal(mode & 0o777, 0o600);
  assert.equal(uid, process.getuid?.());
  const made = await readFile(path, 'utf8');
  assert.match(made, /^made-[0-9a-f]{10}:[A-Za-z0-9+/]{43}=\n$/);

  await rename(path, `${path}.away`);
  {
    await using belfry = await spawnBelfry(options);
    assert.equal((await belfry.exited).code, 1);
    const id = made.split(':')[0] ?? '';
    assert.match(
      belfry.stderr(),
      new RegExp(`^belfry: .*encrypted under ${id}, which SECRET_KEYS has not`, 'm'),
    );
  }
  await rename(`${path}.away`, path);
  {
    await using belfry = await startBelfry(options);
    await fetch(`${belfry.url}/timers/${id}/fire`, { method: 'POST' });
    const [arrival] = await receiver.arrived(1);
    assert.equal(arrival?.headers.authorization, headers.authorization);
    assert.equal(await readFile(path, 'utf8'), made);
    await eventually(
      'it is recorded',
      async () => (await belfry.timers.read(id)).status === 'succeeded',
    );
    assert.ok(!(belfry.stdout() + belfry.stderr()).includes(made.slice(16, 40)));
    belfry.signal('SIGTERM');
    await belfry.exited;
  }
});
