import { spawn } from 'node:child_process';
import { mainPath, shellEnvironment, type Exit } from './belfryProcess.ts';

/** A command of Belfry's that is under way. */
export interface CommandProcess extends AsyncDisposable {
  stdout(): string;
  stderr(): string;
  /** Ends its standard input with this. */
  send(text: string): void;
  signal(signal: NodeJS.Signals): void;
  readonly exited: Promise<Exit>;
}

/** Starts a command through the real command line, its standard input a pipe. */
export function startCommand(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): CommandProcess {
  const child = spawn(process.execPath, [mainPath, ...args], {
    env: { ...shellEnvironment(), ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  return {
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    send: (text) => child.stdin.end(text),
    signal: (name) => child.kill(name),
    exited,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
