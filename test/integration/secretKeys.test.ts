import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseSecretKeys } from '../../src/core/secretBox.ts';
import { openSecretBox } from '../../src/store/secretKeys.ts';
import { createTestDatabase } from '../support/database.ts';
import { secretKeysText } from '../support/secretKeys.ts';

const place = { purpose: 'secret', projectId: 1, row: ['a'] } as const;

test('two starts that make a key at once have the same one', async (t) => {
  await using db = await createTestDatabase();
  const embeddedDataDir = await mkdtemp(join(tmpdir(), 'belfry-keys-'));
  t.after(() => rm(embeddedDataDir, { recursive: true }));
  const open = () =>
    openSecretBox({ database: db.database, configured: undefined, embeddedDataDir });
  const boxes = await Promise.all([open(), open(), open()]);
  const again = await open();
  for (const box of boxes) {
    assert.ok(box !== undefined);
    assert.equal(again?.open(place, box.seal(place, 'x')), 'x');
  }
  assert.equal((await stat(join(embeddedDataDir, 'secret.keys'))).mode & 0o777, 0o600);

  // What SECRET_KEYS says comes first; the file goes on decrypting until a rotation.
  const configured = parseSecretKeys(secretKeysText('own'));
  const box = await openSecretBox({ database: db.database, configured, embeddedDataDir });
  assert.equal(box?.keyId, 'own');
  assert.equal(box.open(place, again?.seal(place, 'x') ?? ''), 'x');
});

test('a key file that is damaged is told, and not replaced', async (t) => {
  await using db = await createTestDatabase();
  const embeddedDataDir = await mkdtemp(join(tmpdir(), 'belfry-keys-'));
  t.after(() => rm(embeddedDataDir, { recursive: true }));
  const path = join(embeddedDataDir, 'secret.keys');
  await writeFile(path, 'junk');
  await assert.rejects(
    openSecretBox({ database: db.database, configured: undefined, embeddedDataDir }),
    /secret\.keys does not hold what SECRET_KEYS takes/,
  );
  assert.equal(await readFile(path, 'utf8'), 'junk');
});

test('with another database and no key there is no box', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  const none = { database, configured: undefined, embeddedDataDir: undefined };
  assert.equal(await openSecretBox(none), undefined);
});
