import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type {
  HttpMethod,
  Json,
  NewTimer,
  RequestBody,
  RetryOptions,
} from '../../../packages/client/src/index.ts';
import { UsageError, type Given, type Option } from '../command.ts';
import { spanOf, whenOf, whenOptions } from '../when.ts';

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const satisfies readonly HttpMethod[];

export const newTimerOptions: readonly Option[] = [
  ...whenOptions,
  { name: 'method', takes: 'method', values: methods, about: 'POST unless given' },
  { name: 'header', takes: "'name: value'", isRepeatable: true, about: 'sent along' },
  {
    name: 'secret-header',
    takes: "'name: value'",
    isRepeatable: true,
    about: 'the same, kept encrypted and never shown, as authorization always is',
  },
  { name: 'body', takes: 'text', about: 'what is sent' },
  { name: 'body-file', takes: 'file', about: 'the same from a file, - for the standard input' },
  { name: 'json-body', takes: 'json', about: 'the same as JSON' },
  { name: 'exact-url', about: 'calls the URL as given, without the id of the timer behind it' },
  { name: 'timeout', takes: 'span', about: 'bound of one attempt' },
  { name: 'max-attempts', takes: 'number', about: 'attempts in all, the first included' },
  { name: 'expires-after', takes: 'span', about: 'fails if not started so long after it was due' },
  { name: 'label', takes: 'label', isRepeatable: true, about: 'to find it by' },
  { name: 'metadata', takes: 'json', about: 'kept and shown with the timer, never sent' },
];

/** The timer that a URL and options describe. */
export async function newTimerOf(url: string, given: Given): Promise<NewTimer> {
  const method = methods.find((name) => name === given.text('method'));
  const secretLines = given.texts('secret-header');
  const headers = headersOf([...given.texts('header'), ...secretLines]);
  const timeout = given.text('timeout');
  const expiresAfter = given.text('expires-after');
  const metadata = given.text('metadata');
  return {
    url,
    ...whenOf(given),
    ...(await bodyOf(given)),
    ...(method === undefined ? {} : { method }),
    ...(Object.keys(headers).length > 0 ? { headers } : {}),
    ...(secretLines.length > 0 ? { secret_headers: Object.keys(headersOf(secretLines)) } : {}),
    ...(given.has('exact-url') ? { append_id: false } : {}),
    ...(timeout === undefined ? {} : { timeout: spanOf('timeout', timeout) }),
    ...retryOf(given),
    ...(expiresAfter === undefined ? {} : { expires_after: spanOf('expires-after', expiresAfter) }),
    ...(given.has('label') ? { labels: given.texts('label') } : {}),
    ...(metadata === undefined ? {} : { metadata: jsonOf('metadata', metadata) }),
  };
}

/** @throws UsageError */
export function headersOf(lines: readonly string[]): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new UsageError(`--header got "${line}"; it takes 'name: value'`);
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    const earlier = headers[name];
    headers[name] = earlier === undefined ? value : [earlier, value].flat();
  }
  return headers;
}

async function bodyOf(given: Given): Promise<RequestBody> {
  const [text, file, json] = ['body', 'body-file', 'json-body'].map((name) => given.text(name));
  if ([text, file, json].filter((one) => one !== undefined).length > 1) {
    throw new UsageError('only one of --body, --body-file and --json-body can be given');
  }
  if (json !== undefined) return { json: jsonOf('json-body', json) };
  if (file === undefined) return text === undefined ? {} : { body: text };
  const bytes = file === '-' ? await buffer(process.stdin) : await readFile(file);
  return { body_base64: bytes.toString('base64') };
}

function retryOf(given: Given): { retry?: RetryOptions } {
  const text = given.text('max-attempts');
  if (text === undefined) return {};
  if (!/^\d+$/.test(text)) {
    throw new UsageError(`--max-attempts got "${text}"; it takes a whole number`);
  }
  return { retry: { max_attempts: Number(text) } };
}

function jsonOf(name: string, text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`--${name} is not JSON: ${text.slice(0, 80)}`);
  }
}
