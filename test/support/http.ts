import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { contractOf } from './openapi.ts';
import { errorCatalogue, type ErrorCode } from '../../src/core/errors.ts';

/** An HTTP response, read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
  readonly body: Record<string, unknown>;
}

export async function request(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  const received = answer(response.status, new Map(response.headers), text);
  const { pathname } = new URL(url);
  await assertDocumented(url, { method: init.method ?? 'GET', path: pathname }, received);
  return received;
}

/** Every answer that a test gets is held against the service's own description of its API. */
async function assertDocumented(
  url: string,
  asked: { method: string; path: string },
  received: Answer,
): Promise<void> {
  const contract = await contractOf(new URL(url).origin);
  contract.check({ ...asked, ...received });
}

export function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  return request(`${url}/timers`, { method: 'POST', body: JSON.stringify(body), headers });
}

/**
 * Writes bytes to the server's socket as they are, and reads until it closes the connection: for
 * requests that no client would send.
 */
export async function exchange(url: string, bytes: string | Buffer): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const received = answer(Number(statusLine.split(' ')[1]), headers, rest.join('\r\n\r\n'));
  const [, method, path] = /^([A-Z]+) (\S+) HTTP\/1/.exec(String(bytes)) ?? [];
  // What is no HTTP is refused before there is a route.
  if (method !== undefined && path !== undefined && received.body['code'] !== 'bad_request') {
    // Further requests on the connection may have got their answers behind it.
    const bytesMax = Number(headers.get('content-length') ?? Infinity);
    const first = Buffer.from(received.text).subarray(0, bytesMax).toString();
    await assertDocumented(url, { method, path }, { ...received, text: first });
  }
  return received;
}

/** A request with a body, with exactly these header lines and nothing that a client would add. */
export function rawPost(path: string, body: string | Buffer, headerLines: readonly string[] = []) {
  return rawRequest('POST', path, body, headerLines);
}

export function rawRequest(
  method: string,
  path: string,
  body: string | Buffer,
  headerLines: readonly string[] = [],
) {
  const bytes = Buffer.from(body);
  const head = [
    `${method} ${path} HTTP/1.1`,
    'host: belfry',
    'connection: close',
    `content-length: ${bytes.length}`,
    ...headerLines,
  ];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), bytes]);
}

function answer(status: number, headers: ReadonlyMap<string, string>, text: string): Answer {
  const isJson = /[/+]json\b/.test(headers.get('content-type') ?? '') && text !== '';
  return { status, headers, text, body: isJson ? JSON.parse(text) : {} };
}

/** Fails unless the answer is a whole problem document (RFC 9457) of the catalogue. */
export function assertProblem(
  { status, headers, text, body }: Answer,
  expected: { status: number; code?: ErrorCode; field?: string },
  message?: string,
): void {
  const what = `${message ?? ''} got ${status} ${text.slice(0, 300)}`;
  assert.equal(status, expected.status, what);
  assert.equal(headers.get('content-type'), 'application/problem+json; charset=utf-8', what);
  assert.ok(String(body['code']) in errorCatalogue, what);
  const code = body['code'] as ErrorCode;
  assert.equal(body['status'], status, what);
  assert.equal(body['title'], errorCatalogue[code].title, what);
  assert.equal(body['type'], `urn:belfry:problem:${code}`, what);
  assert.equal(typeof body['detail'], 'string', what);
  assert.notEqual(body['detail'], '', what);
  if (expected.code !== undefined) assert.equal(code, expected.code, what);
  if (status === 503) assert.match(headers.get('retry-after') ?? '', /^\d+$/, what);
  if (expected.field === undefined) return;
  const fields = body['fields'] as { field: string; message: string }[];
  assert.ok(
    fields.some(({ field, message }) => field === expected.field && message.length > 0),
    `${what}: expected the field ${expected.field}`,
  );
  assert.ok(String(body['detail']).includes(expected.field), what);
}
