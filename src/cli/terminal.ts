import { createInterface } from 'node:readline/promises';
import { createClient, type BelfryClient } from '../../packages/client/src/index.ts';
import { readCommandLineConfig } from './config.ts';
import { UsageError, type Given, type Option, type Terminal } from './command.ts';

/** What every command that talks to a service takes. */
export const serviceOptions: readonly Option[] = [
  { name: 'url', takes: 'url', about: 'where the service is, in place of BELFRY_URL' },
  { name: 'token', takes: 'token', about: 'bearer token, in place of BELFRY_TOKEN' },
];

export const jsonOption: Option = {
  name: 'json',
  about: 'JSON, one value a line; also whenever the output is not a terminal',
};

/** Fewer than a program would: somebody waits. */
const retries = 2;

const colours = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 };

/** The real terminal, as the options and the environment want it. */
export function openTerminal(given: Given, signal: AbortSignal): Terminal {
  const config = readCommandLineConfig();
  const url = given.text('url') ?? config.url;
  const token = given.text('token') ?? config.token;
  const { stdin, stdout, stderr } = process;
  const hasColour = stdout.isTTY && !config.noColor;
  let client: BelfryClient | undefined;
  return {
    isJson: given.has('json') || !stdout.isTTY,
    url,
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
