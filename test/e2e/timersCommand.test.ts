import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { startTestApp } from '../support/app.ts';
import { freePort, mainPath, runBelfry } from '../support/belfryProcess.ts';
import { startCommand } from '../support/commandProcess.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver, type Arrival } from '../support/receiver.ts';

const database = await createTestDatabase();
const receiver = await startReceiver();
const app = await startTestApp(database.url);
const directory = await mkdtemp(join(tmpdir(), 'belfry-cli-'));
after(async () => {
  await receiver[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const environment = { BELFRY_URL: app.url };
const belfry = (...args: string[]) => runBelfry(args, environment);

function rowsOf(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

async function created(...args: string[]): Promise<number> {
  const { code, stdout, stderr } = await belfry('timers', 'create', receiver.url, ...args);
  assert.equal(code, 0, stderr);
  return Number(rowsOf(stdout)[0]?.['id']);
}

void test('what create is told is what the timer has', async () => {
  const file = join(directory, 'body');
  await writeFile(file, Buffer.from([0, 1, 255]));
  const id = await created(
    ...`--in 1h30m --method PUT --body-file ${file} --label a --label b --exact-url`.split(' '),
    ...'--timeout 500ms --max-attempts 2 --expires-after PT5M --header'.split(' '),
    'X-A: one',
    '--header',
    'x-a: two',
    '--metadata',
    '{"n": 1}',
  );
  const { code, stdout } = await belfry('timers', 'get', String(id));
  assert.equal(code, 0);
  const [timer = {}] = rowsOf(stdout);
  assert.equal(timer['method'], 'PUT');
  assert.deepEqual(timer['headers'], { 'x-a': ['one', 'two'] });
  assert.equal(timer['body_base64'], 'AAH/');
  assert.deepEqual([timer['labels'], timer['metadata']], [['a', 'b'], { n: 1 }]);
  assert.deepEqual([timer['timeout'], timer['append_id']], [0.5, false]);
  assert.equal((timer['retry'] as { max_attempts: number }).max_attempts, 2);
  const dueInMs = Date.parse(String(timer['due_at'])) - Date.parse(String(timer['created_at']));
  assert.equal(dueInMs, 5_400_000);
});

void test('a create under an idempotency key makes one timer', async () => {
  const at = ['--at', new Date(Date.now() + 3_600_000).toISOString(), '--idempotency-key', 'once'];
  assert.equal(await created(...at), await created(...at));
});

void test('cancel answers for each id, and fails when it was too late for one', async () => {
  const [first, second] = [await created('--in', '1h'), await created('--in', '1h')];
  const gone = await created();
  await eventually('it is delivered', async () => {
    return (await app.get(`/timers/${gone}`)).body['status'] === 'succeeded';
  });
  const { code, stdout, stderr } = await belfry(
    'timers',
    'cancel',
    `${first}`,
    `${gone}`,
    `${second}`,
  );
  assert.equal(code, 1);
  assert.deepEqual(rowsOf(stdout), [
    { id: first, status: 'cancelled' },
    { id: second, status: 'cancelled' },
  ]);
  assert.match(stderr, new RegExp(`^belfry: too_late: .*${gone}.*\n$`));
});

void test('a dry run of ids is refused, and nothing is changed', async () => {
  const id = await created('--in', '1h');
  const { code, stderr } = await belfry('timers', 'cancel', String(id), '--dry-run');
  assert.equal(code, 2);
  assert.match(stderr, /^belfry: --dry-run /);
  assert.equal((await app.get(`/timers/${id}`)).body['status'], 'pending');
});

void test('watch prints each attempt, and exits by how it ended', async () => {
  await using flaky = await startReceiver((res) => {
    res.writeHead(flaky.arrivals.length === 1 ? 503 : 200).end('answer');
  });
  const answer = await app.post({ url: flaky.url, seconds: 0, retry: { base: 0.01, jitter: 0 } });
  const id = String(answer.body['id']);
  const { code, stdout, stderr } = await belfry('timers', 'watch', id);
  assert.equal(code, 0, stderr);
  assert.deepEqual(
    rowsOf(stdout).map(({ status }) => status),
    [503, 200, 'succeeded'],
  );
  const attempts = rowsOf((await belfry('timers', 'attempts', id)).stdout);
  assert.deepEqual(
    attempts.map(({ response_body: body }) => body),
    ['answer', 'answer'],
  );

  const cancelled = await created('--in', '1h');
  await belfry('timers', 'cancel', String(cancelled));
  assert.equal((await belfry('timers', 'watch', String(cancelled))).code, 1);
});

async function passOn({ path, headers, body }: Arrival): Promise<string> {
  const names = ['content-type', 'idempotency-key'];
  const answer = await fetch(`${app.url}${path}`, {
    method: 'POST',
    headers: names.map((name) => [name, String(headers[name])]),
    body,
  });
  return answer.text();
}

void test('a batch that breaks off says how to go on without making a timer twice', async () => {
  const lines = Array.from({ length: 10_001 }, () => `{"url":"${receiver.url}","hours":9}`);
  const file = join(directory, 'many.ndjson');
  await writeFile(file, lines.join('\n'));
  // Passes the first request on to the service, and breaks every other off.
  await using relay = await startReceiver((res, arrival) => {
    if (relay.arrivals.length > 1) res.destroy();
    else void passOn(arrival).then((text) => res.end(text));
  });
  const broken = await belfry('timers', 'batch', file, '--url', relay.url);
  assert.equal(broken.code, 1);
  const [, key = ''] = /^10000 created .* --idempotency-key (\S+)\n/.exec(broken.stderr) ?? [];
  const whole = await belfry('timers', 'batch', file, '--idempotency-key', key);
  assert.equal(whole.code, 0, whole.stderr);
  const ids = (text: string) => rowsOf(text).map((row) => (row['timer'] as { id: number }).id);
  assert.equal(ids(whole.stdout).length, 10_001);
  assert.deepEqual(ids(whole.stdout).slice(0, 10_000), ids(broken.stdout));
});

void test('batch creates a timer for each line, prints those that failed, and exits 1 for them', async () => {
  const good = JSON.stringify({ url: receiver.url, hours: 1 });
  const lines = [good, '', '{"url": 5}', 'no json', good];
  const file = join(directory, 'timers.ndjson');
  await writeFile(file, lines.join('\n'));
  const fromFile = await belfry('timers', 'batch', file);
  assert.equal(fromFile.code, 1);
  const rows = rowsOf(fromFile.stdout);
  const codeOf = (row: Record<string, unknown>) => (row['error'] as { code: string }).code;
  assert.deepEqual(
    rows
      .map((row) => [row['line'], 'error' in row ? codeOf(row) : 'created'])
      .toSorted(([left], [right]) => Number(left) - Number(right)),
    [
      [1, 'created'],
      [3, 'validation_failed'],
      [4, 'invalid_json'],
      [5, 'created'],
    ],
  );

  await using streamed = startCommand(['timers', 'batch', '-'], environment);
  streamed.send(`${good}\n`.repeat(12_000));
  assert.deepEqual(await streamed.exited, { code: 0, signal: null }, streamed.stderr());
  const results = rowsOf(streamed.stdout());
  assert.equal(results.length, 12_000);
  assert.deepEqual(results.at(-1)?.['line'], 12_000);
  assert.equal((await belfry('timers', 'batch', join(directory, 'none'))).code, 1);
});

void test('a mistake is named, with what may have been meant, and exits 2', async () => {
  const cases: [string[], RegExp][] = [
    [
      ['timers', 'craete'],
      /^belfry: unknown command "timers craete"; did you mean "belfry timers create"\?/,
    ],
    [['lisen'], /did you mean "belfry listen"\?/],
    [['cancel'], /did you mean "belfry timers cancel"\?/],
    [
      ['timers', 'create', 'u', '--heder', 'a: b'],
      /unknown option --heder; did you mean --header\?/,
    ],
    [['timers', 'create', 'u', '-x'], /unknown option -x/],
    [['timers', 'create'], /timers create needs <url>/],
    [['timers', 'create', 'u', 'v'], /timers create does not take "v"/],
    [['timers', 'create', 'u', '--in'], /--in needs span/],
    [['timers', 'create', 'u', '--in', 'soon'], /--in got "soon"; it takes a span such as/],
    [['timers', 'create', 'u', '--in', '5s', '--at', 'x'], /--in and --at cannot be combined/],
    [
      ['timers', 'create', 'u', '--method', 'post'],
      /--method got "post"; it takes one of GET, POST/,
    ],
    [['timers', 'create', 'u', '--json-body', '{'], /--json-body is not JSON/],
    [['timers', 'create', 'u', '--json=yes'], /--json takes no value/],
    [['timers', 'get', 'abc'], /"abc" is not the id of a timer/],
    [['timers', 'move', '1'], /timers move needs --in or --at/],
    [['timers', 'cancel'], /needs ids, or a filter such as --label/],
    [['timers', 'cancel', '1', '--label', 'a'], /takes ids or a filter, not both/],
    [['timers', 'list', '--status', 'live,done'], /--status got "done"; it takes one of pending/],
    [['timers', 'get', '1', '--url', 'nonsense'], /--url got "nonsense"/],
    [['listen', '99999'], /"99999" is not a port/],
    [['listen', '--status', '200,abc'], /--status got "200,abc"/],
    [['completion', 'tcsh'], /completion got "tcsh"; it takes bash, zsh, fish/],
  ];
  for (const [args, expected] of cases) {
    const { code, stdout, stderr } = await belfry(...args);
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, expected);
    assert.equal(stdout, '');
    assert.doesNotMatch(stderr, /\n +at /, 'no stack');
  }
  const odd = await runBelfry(['timers', 'get', '1'], { BELFRY_URL: 'ftp://x' });
  assert.equal(odd.code, 2);
  assert.match(odd.stderr, /^belfry: BELFRY_URL got "ftp:\/\/x"; it takes/);
});

void test('an error of the service is one line with its code and field, and exits 1', async () => {
  const bad = await belfry('timers', 'create', receiver.url, '--at', 'tomorrow');
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /^belfry: validation_failed: due_at .*\n$/);
  const unknown = await belfry('timers', 'get', '999999');
  assert.deepEqual([unknown.code, unknown.stdout], [1, '']);
  assert.match(unknown.stderr, /^belfry: timer_not_found: .*999999\n$/);
});

void test('where nobody listens, the URL is named and how to start a service', async () => {
  const url = `http://127.0.0.1:${await freePort()}`;
  const { code, stderr } = await runBelfry(['timers', 'get', '1', '--url', url]);
  assert.equal(code, 1);
  assert.ok(stderr.startsWith(`belfry: no service answers at ${url}: start one with "belfry dev"`));
  assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
});

void test('the token is sent, from the environment or the option', async () => {
  const url = ['--url', receiver.url];
  const before = receiver.arrivals.length;
  await runBelfry(['timers', 'fire', '1', ...url], { BELFRY_TOKEN: 'secret' });
  await runBelfry(['timers', 'fire', '1', ...url, '--token', 'other'], { BELFRY_TOKEN: 'secret' });
  const sent = receiver.arrivals.slice(before).map(({ headers }) => headers.authorization);
  assert.deepEqual(sent, ['Bearer secret', 'Bearer other']);
});

void test('every command has a page with examples', async () => {
  for (const command of ['create', 'list', 'cancel', 'retry', 'batch', 'watch']) {
    const { code, stdout } = await belfry('timers', command, '--help');
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^belfry timers ${command}[^]*Options:[^]*--url[^]*Examples:`));
  }
  const group = await belfry('timers');
  assert.equal(group.code, 0);
  assert.match(group.stdout, /belfry timers watch/);
  assert.doesNotMatch(group.stdout, /belfry serve/);
});

const script = '/usr/bin/script';
const hasScript = process.platform === 'linux' && existsSync(script);
void test(
  'on a terminal it is a table with local times, in colour unless NO_COLOR is set',
  hasScript ? {} : { skip: 'NOT TESTED: needs script(1) to make a terminal' },
  async () => {
    const id = await created('--in', '1h', '--label', 'seen');
    const command = `"${process.execPath}" "${mainPath}" timers get ${id}`;
    const show = async (more: Record<string, string>) => {
      const env = { ...process.env, ...environment, TZ: 'UTC', ...more };
      return (await promisify(execFile)(script, ['-qec', command, '/dev/null'], { env })).stdout;
    };
    const plain = await show({ NO_COLOR: '1' });
    assert.match(plain, /^status {2,}pending\r$/m);
    assert.match(plain, /^due {2,}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(in (?:60|59) min\)\r$/m);
    assert.match(plain, /^labels {2,}seen\r$/m);
    assert.ok(!plain.includes('\u001b['));
    assert.ok((await show({ NO_COLOR: '' })).includes('\u001b[1mpending\u001b[0m'));
  },
);
