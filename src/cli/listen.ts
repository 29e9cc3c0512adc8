import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyWebhook, WebhookVerificationError } from '../../packages/client/src/index.ts';
import { UsageError, type Command, type Given, type Terminal } from './command.ts';
import { jsonOption } from './terminal.ts';
import { visible } from './visible.ts';
import { localTime, spanOf } from './when.ts';

const portDefault = '7000';
const previewLength = 200;

export const listen: Command = {
  path: ['listen'],
  operands: '[port]',
  operandsMin: 0,
  operandsMax: 1,
  about: `A receiver on this machine that shows what arrives; on port ${portDefault} unless given, 0 for any.`,
  options: [
    {
      name: 'status',
      takes: 'statuses',
      about: 'what it answers, such as 503, or 503,503,200 one after another, the last for good',
    },
    { name: 'delay', takes: 'span', about: 'how long it takes to answer' },
    {
      name: 'secret',
      takes: 'secret',
      isRepeatable: true,
      about: 'whsec_… or public key whpk_…: checks signatures, answers 401 to a bad one',
    },
    jsonOption,
  ],
  examples: [
    'belfry listen',
    'belfry listen 7000 --status 503,503,200',
    'belfry listen --delay 2s',
  ],
  async run(given, terminal) {
    const answers = readAnswers(given);
    await checkSecrets(answers.secrets);
    const server = createServer((req, res) => {
      void receive(req, res, answers, terminal).catch(() => res.destroy());
    });
    server.listen(portOf(given.operands[0] ?? portDefault), '127.0.0.1');
    await once(server, 'listening');
    const { signal } = terminal;
    terminal.note(`Listening on ${addressOf(server.address())}; Ctrl-C ends it.`);
    if (!signal.aborted) await once(signal, 'abort');
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
    return 0;
  },
};

interface Answers {
  /** The status of the next answer. */
  next(): number;
  readonly delayMs: number;
  readonly secrets: readonly string[];
}

async function receive(
  req: IncomingMessage,
  res: ServerResponse,
  answers: Answers,
  terminal: Terminal,
): Promise<void> {
  const at = new Date().toISOString();
  const body = await buffer(req);
  const signature = await signatureOf(req.headers, body, answers.secrets);
  const isBad = signature !== undefined && signature !== 'valid';
  const status = isBad ? 401 : answers.next();
  const text = body.toString();
  const seen = {
    at,
    method: req.method ?? '',
    path: req.url ?? '',
    webhook_id: headerOf(req, 'webhook-id'),
    attempt: headerOf(req, 'belfry-attempt'),
    ...(signature === undefined ? {} : { signature }),
    status,
    body: text.length > previewLength ? `${text.slice(0, previewLength)}…` : text,
    body_bytes: body.length,
  };
  if (terminal.isJson) terminal.json(seen);
  else show(seen, terminal);
  await sleep(answers.delayMs, undefined, { signal: terminal.signal });
  res.writeHead(status).end();
}

function show(
  seen: {
    readonly at: string;
    readonly method: string;
    readonly path: string;
    readonly webhook_id: string | null;
    readonly attempt: string | null;
    readonly signature?: string;
    readonly status: number;
    readonly body: string;
  },
  { line, paint }: Terminal,
): void {
  const isGood = seen.status >= 200 && seen.status < 300;
  const parts = [
    paint('dim', `${localTime(seen.at)}${seen.at.slice(19, 23)}`),
    paint('bold', visible(`${seen.method} ${seen.path}`)),
    ...(seen.webhook_id === null ? [] : [visible(seen.webhook_id)]),
    ...(seen.attempt === null ? [] : [`attempt ${visible(seen.attempt)}`]),
    ...(seen.signature === undefined ? [] : [`signature ${seen.signature}`]),
    paint(isGood ? 'green' : 'red', `→ ${seen.status}`),
  ];
  line(parts.join('  '));
  if (seen.body !== '') line(`  ${visible(seen.body)}`);
}

/** `valid`, or why not; undefined when nothing is checked. */
async function signatureOf(
  headers: IncomingHttpHeaders,
  body: Buffer,
  secrets: readonly string[],
): Promise<string | undefined> {
  if (secrets.length === 0) return undefined;
  try {
    await verifyWebhook(secrets, headers, body);
    return 'valid';
  } catch (err) {
    return err instanceof WebhookVerificationError ? err.reason : 'invalid_secret';
  }
}

/** A mistyped secret would refuse everything, as if what arrives were at fault. */
async function checkSecrets(secrets: readonly string[]): Promise<void> {
  for (const secret of secrets) {
    if ((await signatureOf({}, Buffer.alloc(0), [secret])) === 'invalid_secret') {
      throw new UsageError('--secret takes whsec_ or whpk_ and base64');
    }
  }
}

function readAnswers(given: Given): Answers {
  const text = given.text('status') ?? '200';
  const statuses = text.split(',').map((part) => (/^[2-5]\d\d$/.test(part) ? Number(part) : NaN));
  if (statuses.some(Number.isNaN)) {
    throw new UsageError(`--status got "${text}"; it takes statuses from 200 to 599 with commas`);
  }
  const delay = spanOf('delay', given.text('delay') ?? '0');
  if (typeof delay === 'string') throw new UsageError('--delay takes a span such as 2s or 500ms');
  let answered = 0;
  return {
    next() {
      const status = statuses[Math.min(answered, statuses.length - 1)] ?? 200;
      answered += 1;
      return status;
    },
    delayMs: delay * 1_000,
    secrets: given.texts('secret'),
  };
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(port <= 65_535)) throw new UsageError(`"${text}" is not a port: 0 to 65535`);
  return port;
}

function addressOf(address: AddressInfo | string | null): string {
  return typeof address === 'object' && address !== null
    ? `http://127.0.0.1:${address.port}`
    : String(address);
}

function headerOf(req: IncomingMessage, name: string): string | null {
  const value = req.headers[name];
  return typeof value === 'string' ? value : null;
}
