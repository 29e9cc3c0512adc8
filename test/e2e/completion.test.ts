import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { runBelfry } from '../support/belfryProcess.ts';

const run = promisify(execFile);
const { stdout: script } = await runBelfry(['completion', 'bash']);

/** What bash would offer for the last of these words. */
async function offered(...words: string[]): Promise<string[]> {
  const { stdout } = await run('bash', [
    '--norc',
    '-euc',
    `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _belfry; printf '%s\\n' "\${COMPREPLY[@]-}"`,
    'bash',
    ...words,
  ]);
  return stdout.split('\n').filter((line) => line !== '');
}

void test('bash completes commands, options, and the values that an option takes', async () => {
  assert.deepEqual(await offered('belfry', 'li'), ['limits', 'listen']);
  assert.ok((await offered('belfry', '')).includes('timers'));
  assert.deepEqual(await offered('belfry', 'timers', 'c'), ['create', 'cancel']);
  assert.deepEqual(await offered('belfry', 'timers', 'create', 'http://x', '--json'), [
    '--json-body',
    '--json',
  ]);
  assert.deepEqual(await offered('belfry', 'timers', 'list', '--status', 'f'), [
    'failed',
    'finished',
  ]);
  assert.deepEqual(await offered('belfry', 'timers', 'create', '--label', ''), []);
  assert.deepEqual(await offered('belfry', 'completion', 'z'), ['zsh']);
  assert.deepEqual(await offered('belfry', 'listen', '--st'), ['--status']);
  assert.deepEqual(
    await offered('belfry', 'timers', 'batch', '/etc/host'),
    await files('/etc/host'),
  );
  assert.deepEqual(
    await offered('belfry', 'timers', 'create', '--body-file', '/etc/host'),
    await files('/etc/host'),
  );
});

async function files(prefix: string): Promise<string[]> {
  const { stdout } = await run('bash', ['-c', 'compgen -f -- "$1"', 'bash', prefix]);
  return stdout.trimEnd().split('\n');
}

void test('bash registers the completion, zsh through its bash compatibility, fish by its own words', async () => {
  await run('bash', ['-ec', `${script}\ncomplete -p belfry | grep -q -- '-F _belfry'`]);
  const zsh = await runBelfry(['completion', 'zsh']);
  assert.match(zsh.stdout, /^autoload -U \+X bashcompinit && bashcompinit\n_belfry\(\)/);
  const fish = await runBelfry(['completion', 'fish']);
  for (const line of fish.stdout.trimEnd().split('\n')) assert.match(line, /^complete -c belfry /);
  assert.match(fish.stdout, /-l status -d '[^']+' -x -a 'pending /);
});
