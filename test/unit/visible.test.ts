import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '../../packages/client/src/index.ts';
import type { Terminal } from '../../src/cli/command.ts';
import { attempts, get, list } from '../../src/cli/timers/single.ts';

// Clears the screen, sets the title, and does so by the one-character form of ESC [.
const steering = '\u001b[2J\u001b]0;owned\u0007\u009b31m\r';
const timer = {
  id: 1,
  status: 'failed',
  method: 'POST',
  url: `http://a.test/${steering}`,
  key: null,
  labels: [`a${steering}`],
  metadata: { note: steering },
  failure_code: 'attempts_exhausted',
  due_at: '2030-01-01T00:00:00Z',
  created_at: '2030-01-01T00:00:00Z',
  finished_at: null,
  next_attempt_at: null,
  attempt_count: 1,
  attempts: [],
};
const attempt = {
  number: 1,
  started_at: null,
  lateness_ms: null,
  duration_ms: null,
  status: 500,
  error_code: 'http_status',
  lost: false,
  response_body: `one\ntwo${steering}`,
};

/** A terminal that somebody looks at, without colours, whose service gives this answer. */
function shownFrom(answer: unknown) {
  const lines: string[] = [];
  const fetch = async () => Response.json(answer);
  const terminal: Terminal = {
    isJson: false,
    credentialsPath: '',
    secret: () => Promise.resolve(undefined),
    url: 'http://belfry.test',
    client: createClient({ url: 'http://belfry.test', fetch }),
    signal: new AbortController().signal,
    json: () => assert.fail('not asked for'),
    line: (text) => lines.push(text),
    note: (text) => lines.push(text),
    paint: (_, text) => text,
    progress: () => undefined,
    ask: async () => undefined,
  };
  return { terminal, lines };
}

const given = (operands: readonly string[]) => ({
  operands,
  text: () => undefined,
  texts: () => [],
  has: () => false,
});

test('what receivers answered and callers wrote does not steer the terminal', async () => {
  const cases = [
    [attempts, ['1'], { attempts: [attempt] }],
    [get, ['1'], timer],
    [list, [], { timers: [timer], next: null }],
  ] as const;
  for (const [command, operands, answer] of cases) {
    const { terminal, lines } = shownFrom(answer);
    await command.run(given(operands), terminal);
    const shown = lines.join('\n');
    assert.ok(shown.includes('owned'), command.path.join(' '));
    assert.doesNotMatch(shown.replaceAll('\n', ''), /\p{Cc}/u, command.path.join(' '));
  }
});

test('an answer of several lines is shown as such', async () => {
  const { terminal, lines } = shownFrom({ attempts: [attempt] });
  await attempts.run(given(['1']), terminal);
  assert.match(lines.join('\n'), /\none\ntwo /);
});
