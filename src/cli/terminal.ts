import { createInterface } from 'node:readline/promises';
import { createClient, type BelfryClient } from '../../packages/client/src/index.ts';
import { readCredentials } from './credentials.ts';
import { readCommandLineConfig } from './config.ts';
import { UsageError, type Command, type Given, type Option, type Terminal } from './command.ts';

/** What every command that talks to a service takes. */
export const serviceOptions: readonly Option[] = [
  { name: 'url', takes: 'url', about: 'where the service is, in place of BELFRY_URL' },
  { name: 'token', takes: 'token', about: 'bearer token, in place of BELFRY_TOKEN' },
];

export const jsonOption: Option = {
  name: 'json',
  about: 'JSON, one value a line; also whenever the output is not a terminal',
};

const urlDefault = 'http://127.0.0.1:5000';
/** Fewer than a program would: somebody waits. */
const retries = 2;

const colours = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 };

/** The real terminal, as the options and the environment want it. */
export async function openTerminal(
  command: Command,
  given: Given,
  signal: AbortSignal,
): Promise<Terminal> {
  const config = readCommandLineConfig();
  const { credentialsPath } = config;
  // A file that is amiss does not keep the service itself from starting.
  const talks = command.options.some(({ name }) => name === 'url');
  const saved = talks ? await readCredentials(credentialsPath) : undefined;
  const url = (given.text('url') ?? config.url ?? saved?.url ?? urlDefault).replace(/\/+$/, '');
  const token = given.text('token') ?? config.token ?? saved?.tokens[url];
  const { stdin, stdout, stderr } = process;
  const hasColour = stdout.isTTY && !config.noColor;
  let client: BelfryClient | undefined;
  return {
    isJson: given.has('json') || !stdout.isTTY,
    url,
    credentialsPath,
    get client() {
      client ??= connect(url, token);
      return client;
    },
    signal,
    json: (value) => stdout.write(`${JSON.stringify(value)}\n`),
    line: (text) => stdout.write(`${text}\n`),
    note: (text) => stderr.write(`${text}\n`),
    paint: (colour, text) => (hasColour ? `\u001b[${colours[colour]}m${text}\u001b[0m` : text),
    progress(text) {
      if (stderr.isTTY) stderr.write(`\r\u001b[K${text}`);
    },
    async secret(question) {
      const isAsked = stdin.isTTY && stderr.isTTY;
      if (isAsked) stderr.write(question);
      // With nowhere to show it, what is typed is not shown.
      const lines = createInterface(isAsked ? { input: stdin, terminal: true } : { input: stdin });
      const stop = () => lines.close();
      signal.addEventListener('abort', stop);
      try {
        for await (const line of lines) return line.trim();
        return undefined;
      } finally {
        signal.removeEventListener('abort', stop);
        lines.close();
        if (isAsked) stderr.write('\n');
      }
    },
    async ask(question) {
      if (!stdin.isTTY || !stderr.isTTY) return undefined;
      const lines = createInterface({ input: stdin, output: stderr });
      try {
        return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `, { signal })).trim());
      } finally {
        lines.close();
      }
    },
  };
}

function connect(url: string, token: string | undefined): BelfryClient {
  try {
    return createClient({ url, retries, ...(token === undefined ? {} : { token }) });
  } catch {
    throw new UsageError(`--url got "${url}"; it takes a URL that begins with http:// or https://`);
  }
}
