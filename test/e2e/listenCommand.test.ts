import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { runBelfry } from '../support/belfryProcess.ts';
import { startCommand, type CommandProcess } from '../support/commandProcess.ts';
import { eventually } from '../support/eventually.ts';

async function startListening(
  ...args: string[]
): Promise<{ command: CommandProcess; url: string }> {
  const command = startCommand(['listen', '0', ...args]);
  const url = await eventually('it listens', () => {
    return /Listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(command.stderr())?.[1];
  });
  return { command, url };
}

function seenBy(command: CommandProcess): Record<string, unknown>[] {
  return command
    .stdout()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

void test('listen shows what arrives and answers one status after another, the last for good', async () => {
  const { command, url } = await startListening('--status', '503,202');
  await using _ = command;
  const statuses: number[] = [];
  for (const attempt of ['1', '2', '3']) {
    const headers = { 'webhook-id': 'x', 'belfry-attempt': attempt };
    const body = 'y'.repeat(300);
    const { status } = await fetch(`${url}/hello/1?a`, { method: 'PUT', headers, body });
    statuses.push(status);
  }
  assert.deepEqual(statuses, [503, 202, 202]);
  const seen = await eventually('all are shown', () => {
    const rows = seenBy(command);
    return rows.length === 3 && rows;
  });
  const [first = {}] = seen;
  assert.deepEqual(
    [first['method'], first['path'], first['webhook_id'], first['attempt'], first['status']],
    ['PUT', '/hello/1?a', 'x', '1', 503],
  );
  assert.deepEqual([first['body'], first['body_bytes']], [`${'y'.repeat(200)}…`, 300]);

  command.signal('SIGINT');
  assert.deepEqual(await command.exited, { code: 0, signal: null });
});

void test('listen does not start with a secret that is none', async () => {
  for (const secret of ['whsec_%%%', 'whsec_', '']) {
    const { code, stderr } = await runBelfry(['listen', '0', `--secret=${secret}`]);
    assert.deepEqual([code, stderr.split(' ', 2)], [2, ['belfry:', '--secret']], stderr);
  }
});

void test('listen checks signatures and answers 401 to a bad one', async () => {
  const key = Buffer.from('a secret of some length');
  const { command, url } = await startListening('--secret', `whsec_${key.toString('base64')}`);
  await using _ = command;
  const timestamp = String(Math.floor(Date.now() / 1_000));
  const signature = createHmac('sha256', key).update(`id.${timestamp}.body`).digest('base64');
  const send = async (body: string) => {
    const headers = {
      'webhook-id': 'id',
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    };
    return (await fetch(url, { method: 'POST', headers, body })).status;
  };
  assert.equal(await send('body'), 200);
  assert.equal(await send('other'), 401);
  assert.equal((await fetch(url)).status, 401);
  const seen = await eventually('all are shown', () => {
    const rows = seenBy(command);
    return rows.length === 3 && rows;
  });
  assert.deepEqual(
    seen.map(({ signature: shown }) => shown),
    ['valid', 'no_matching_signature', 'missing_header'],
  );
});

void test('listen takes the time that it is told to', async () => {
  const { command, url } = await startListening('--delay', '200ms');
  await using _ = command;
  const startedMs = performance.now();
  await fetch(url);
  assert.ok(performance.now() - startedMs >= 195);
});
