import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { firstToken } from '../../src/store/firstToken.ts';
import { startTestApp } from '../support/app.ts';
import { mainPath, runBelfry, shellEnvironment } from '../support/belfryProcess.ts';
import { createAuthority } from '../support/certificates.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

const database = await createTestDatabase();
const app = await startTestApp(database.url);
const home = await mkdtemp(join(tmpdir(), 'belfry-access-'));
const operator = (await firstToken(database.database, false)) ?? '';
after(async () => {
  await app[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await rm(home, { recursive: true });
});
const file = join(home, 'belfry', 'credentials.json');

async function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  return runBelfry(args, { XDG_CONFIG_HOME: home, ...environment });
}

async function json(args: readonly string[]): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await run(args);
  assert.equal(code, 0, stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** A command with something to read. */
async function runWithInput(args: readonly string[], input: string) {
  const child = spawn(process.execPath, [mainPath, ...args], {
    env: { ...shellEnvironment(), XDG_CONFIG_HOME: home },
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

void test('a login keeps a token that was tried, in a file that nobody else may read', async () => {
  await eventually('tokens are asked for', async () => (await app.get('/timers')).status === 401);
  const refused = await runWithInput(['login', '--url', app.url], `${operator}x\n`);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^belfry: unauthenticated/m);
  await assert.rejects(stat(file), { code: 'ENOENT' });

  // As "belfry admin init" prints it into a pipe.
  const piped = await runWithInput(['login', '--url', app.url], `{"token":"${operator}"}\n`);
  assert.equal(piped.code, 0, piped.stderr);
  await rm(file);
  const { code, stderr } = await runWithInput(['login', '--url', app.url], `${operator}\n`);
  assert.equal(code, 0, stderr);
  assert.ok(stderr.includes('operator') && !stderr.includes(operator));
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.ok((await readFile(file, 'utf8')).includes(operator));
  // From now on neither the URL nor the token has to be said.
  const [caller] = await json(['whoami']);
  assert.partialDeepStrictEqual(caller, { kind: 'token', project: 1, scopes: ['operator'] });
});

void test('projects are made and tokens given, listed, rotated and revoked', async () => {
  const [project] = await json(['projects', 'create', 'shop']);
  assert.deepEqual(
    (await json(['projects', 'list'])).map(({ name }) => name),
    ['default', 'shop'],
  );
  const number = String(project?.['id']);
  const [paused] = await json(['projects', 'pause', number]);
  assert.equal(typeof paused?.['paused_at'], 'string');
  const [resumed] = await json(['projects', 'resume', number]);
  assert.equal(resumed?.['paused_at'], null);
  const counted = await json(['projects', 'purge', number, '--dry-run']);
  assert.deepEqual(counted, [{ count: 0, is_complete: true }]);
  const purged = await json(['projects', 'purge', number, '--yes']);
  assert.deepEqual(purged, [{ changed: 0, skipped: 0, failed: 0 }]);
  assert.equal((await run(['projects', 'pause', 'shop'])).code, 2);
  const of = ['--project', number];
  const wanted =
    'tokens create checkout --scope timers:read --scope timers:write --expires-in 90d'.split(' ');
  const [issued] = await json([...wanted, ...of]);
  const token = { BELFRY_TOKEN: String(issued?.['token']) };
  assert.equal((await run(['timers', 'list'], token)).code, 0);
  const forbidden = await run(['tokens', 'list'], token);
  assert.equal(forbidden.code, 1);
  assert.match(forbidden.stderr, /^belfry: forbidden: .*admin/);

  const id = String(issued?.['id']);
  const [next] = await json(['tokens', 'rotate', id, '--overlap', '0']);
  await eventually('the old one has ended', async () => (await run(['whoami'], token)).code === 1);
  const renewed = { BELFRY_TOKEN: String(next?.['token']) };
  assert.equal((await run(['whoami'], renewed)).code, 0);
  await json(['tokens', 'revoke', String(next?.['id'])]);
  await eventually('revoked', async () => (await run(['whoami'], renewed)).code === 1);
  const states = (await json(['tokens', 'list', ...of])).map(
    ({ revoked_at }) => revoked_at !== null,
  );
  assert.equal(states.length, 2);
  assert.ok(states.includes(true));
});

void test('signing keys are made, shown once, listed without secrets, rotated and deleted', async () => {
  const [v1] = await json(['signing-keys', 'create']);
  assert.match(String(v1?.['secret']), /^whsec_/);
  const [v1a] = await json(['signing-keys', 'create', '--scheme', 'v1a']);
  assert.match(String(v1a?.['public_key']), /^whpk_/);
  const [ofOne] = await json(['signing-keys', 'create', '--destination', 'API.example.com']);
  assert.equal(ofOne?.['destination'], 'api.example.com');
  const nowhere = await run(['signing-keys', 'create', '--destination', 'https://x']);
  assert.match(nowhere.stderr, /^belfry: validation_failed: destination must be a host/m);
  const own = `whsec_${Buffer.alloc(24, 'own').toString('base64')}`;
  const given = await runWithInput(['signing-keys', 'create', '--own-secret'], `${own}\n`);
  assert.equal(given.code, 0, given.stderr);
  assert.match(given.stdout, new RegExp(own));
  const empty = await runWithInput(['signing-keys', 'create', '--own-secret'], '');
  assert.equal(empty.code, 2);
  const wrong = await runWithInput(['signing-keys', 'create', '--own-secret'], 'whsec_canary');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /^belfry: validation_failed: secret must be whsec_/m);
  assert.doesNotMatch(wrong.stderr, /canary/);

  const rotated = await run(['signing-keys', 'rotate', String(v1?.['id']), '--overlap', '1h']);
  assert.equal(rotated.code, 0, rotated.stderr);
  const listed = await json(['signing-keys', 'list']);
  assert.equal(listed.length, 5);
  assert.doesNotMatch(JSON.stringify(listed), /whsec_/);
  assert.equal(listed.filter(({ retires_at }) => retires_at !== null).length, 1);
  for (const { id } of listed) await json(['signing-keys', 'delete', String(id)]);
  const again = await run(['signing-keys', 'delete', String(v1?.['id'])]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^belfry: signing_key_not_found/m);
});

void test('secrets are set from the standard input, listed without values, deleted and rotated', async () => {
  const value = 'k3y of a test';
  const set = await runWithInput(['secrets', 'set', 'stripe-key'], `${value}\n`);
  assert.equal(set.code, 0, set.stderr);
  assert.ok(!(set.stdout + set.stderr).includes(value));
  const empty = await runWithInput(['secrets', 'set', 'stripe-key'], '');
  assert.equal(empty.code, 2);
  const lines = await runWithInput(['secrets', 'set', 'stripe-key'], 'two\nlines\n');
  assert.equal(lines.code, 1, 'and not cut off at the first');
  assert.match(lines.stderr, /^belfry: validation_failed: value must be/m);
  assert.equal((await run(['secrets', 'set', 'stripe-key', value])).code, 2);

  const listed = await json(['secrets', 'list']);
  assert.deepEqual(
    listed.map(({ name, key_id }) => [name, key_id]),
    [['stripe-key', 'test']],
  );
  const create = ['timers', 'create', 'http://127.0.0.1:9/', '--in', '1h'];
  const [timer] = await json([
    ...create,
    '--header',
    'x-key: {{secret:stripe-key}}',
    '--secret-header',
    'x-mine: hidden-value',
  ]);
  const { code, stdout } = await run(['timers', 'get', String(timer?.['id'])]);
  assert.equal(code, 0);
  assert.ok(stdout.includes('{{secret:stripe-key}}') && stdout.includes('[secret]'), stdout);
  assert.ok(!stdout.includes('hidden-value'));
  await sql(database.database, `UPDATE belfry.timers SET headers = '{"cookie":"plain"}'`);
  const [rotation] = await json(['secrets', 'rotate']);
  assert.partialDeepStrictEqual(rotation, { done: true, changed: 1, left: 0, key_id: 'test' });

  await json(['secrets', 'delete', 'stripe-key']);
  assert.equal((await run(['secrets', 'delete', 'stripe-key'])).code, 1);
  const refused = await run([...create, '--header', 'x-key: {{secret:stripe-key}}']);
  assert.match(refused.stderr, /uses the secret "stripe-key", which the project does not have/);
});

void test('limits are set, shown beside what is used, and taken away', async () => {
  const of = ['--project', '2'];
  const wanted = 'limits set --rate 600/1m,50 --live-timers 3 --horizon 1d'.split(' ');
  const expected = {
    project: 2,
    rate: { requests: 600, per: 60, burst: 50 },
    live_timers: 3,
    creates_per_day: null,
    body_bytes: null,
    horizon: 86_400,
    attempts: null,
  };
  assert.deepEqual(await json([...wanted, ...of]), [expected]);
  assert.deepEqual(await json(['limits', 'show', ...of]), [expected]);
  const [issued] = await json(
    ['tokens', 'create', 'limited', '--scope', 'timers:read', '--rate', '5/1s,10'].concat(of),
  );
  const token = { BELFRY_TOKEN: String(issued?.['token']) };
  const usage = await run(['usage', '--json'], token);
  assert.partialDeepStrictEqual(JSON.parse(usage.stdout), {
    live_timers: { limit: 3, used: 0 },
    token_requests: { limit: { requests: 5, per: 1, burst: 10 } },
  });
  const [lifted] = await json(['tokens', 'rate', String(issued?.['id']), 'none']);
  assert.equal(lifted?.['rate'], null);
  const [rest] = await json(['limits', 'unset', 'rate', 'live-timers', ...of]);
  assert.deepEqual(rest, { ...expected, rate: null, live_timers: null });
  const wrong = await run(['limits', 'set', '--rate', 'often', ...of]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /--rate got "often"/);
});

void test('settings of destinations are set in parts, listed, shown, paused and deleted', async () => {
  const { cert, key } = createAuthority().issue(['one']);
  const [certFile, keyFile] = [join(home, 'cert.pem'), join(home, 'key.pem')];
  await writeFile(certFile, cert);
  await writeFile(keyFile, key);
  const set = ['destinations', 'set', 'API.example.com'];
  const [made] = await json([...set, '--rate', '100/minute', '--secret-header', 'x-a: hidden-a']);
  assert.partialDeepStrictEqual(made, {
    pattern: 'api.example.com',
    rate: { count: 100, per: 'minute' },
    headers: { 'x-a': '[secret]' },
  });
  const options = ['--concurrency', '5', '--timeout', '1m', '--clear', 'headers'];
  const tls = ['--tls-certificate', certFile, '--tls-key', keyFile];
  const [changed] = await json([...set, ...options, ...tls]);
  assert.partialDeepStrictEqual(changed, {
    concurrency: 5,
    rate: { count: 100, per: 'minute' },
    timeout: 60,
    headers: null,
    tls: { certificate: { subject: 'CN=one' }, ca: [] },
  });
  assert.equal((await json(['destinations', 'list'])).length, 1);
  for (const [word, isPaused] of [
    ['pause', true],
    ['show', true],
    ['resume', false],
    ['delete', false],
  ] as const) {
    const [shown] = await json(['destinations', word, 'api.example.com']);
    assert.equal(shown?.['is_paused'], isPaused, word);
  }
  const gone = await run(['destinations', 'show', 'api.example.com']);
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /destination_not_found/);
  for (const wrong of [[], ['--rate', '5'], ['--concurrency', 'x'], ['--clear', 'all']]) {
    assert.equal((await run([...set, ...wrong])).code, 2, wrong.join(' '));
  }
});

void test('a file of tokens that others may read is not used, and a logout forgets', async () => {
  await chmod(file, 0o644);
  const refused = await run(['whoami']);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /may be read by others: "chmod 600/);
  await chmod(file, 0o600);
  assert.equal((await run(['logout', '--url', `${app.url}/`])).code, 0);
  assert.ok(!(await readFile(file, 'utf8')).includes(operator));
  assert.equal((await run(['whoami', '--url', app.url])).code, 1);
});
