import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { eventually } from './eventually.ts';

/** Where commands run. */
export interface ShellPlace {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** One terminal: what a command sets is there for the next one. */
export interface Shell extends AsyncDisposable {
  /** What the commands printed. Rejects when one fails, or when they take too long. */
  run(commands: string): Promise<string>;
}

const commandsMs = 60_000;

/** A bash that ends with the first command that fails. */
export function startShell({ cwd, env }: ShellPlace): Shell {
  const child = spawn('bash', ['-euo', 'pipefail'], { cwd, env, detached: true });
  const mark = '\u001e';
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  child.stdin.on('error', () => undefined); // it has ended, which `run` reports

  return {
    async run(commands) {
      output.stdout = '';
      output.stderr = '';
      // Commands must not read those that follow them.
      child.stdin.write(`{\n${commands}\n} < /dev/null\nprintf '${mark}'\n`);
      await eventually(
        'the commands are done',
        () => {
          if (hasEnded(child)) throw new Error('a command failed');
          return output.stdout.endsWith(mark);
        },
        commandsMs,
      ).catch((err: unknown) => {
        throw new Error(`${output.stdout}${output.stderr}`, { cause: err });
      });
      return output.stdout.slice(0, -mark.length);
    },
    [Symbol.asyncDispose]: () => endGroup(child),
  };
}

/** A command that goes on until it is stopped. */
export interface BackgroundCommand extends AsyncDisposable {
  hasExited(): boolean;
  output(): string;
}

export function startInBackground(command: string, { cwd, env }: ShellPlace): BackgroundCommand {
  const child = spawn('bash', ['-c', command], {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  return {
    hasExited: () => hasEnded(child),
    output: () => output,
    [Symbol.asyncDispose]: () => endGroup(child),
  };
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** All that it started ends with it; resolves once its output is closed, so that nobody is left. */
async function endGroup(child: ChildProcess): Promise<void> {
  const { pid } = child;
  assert.ok(pid !== undefined, 'bash could not be started');
  if (child.stdout?.closed === true && hasEnded(child)) return;
  const closed = once(child, 'close');
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group has ended already.
  }
  await closed;
}
