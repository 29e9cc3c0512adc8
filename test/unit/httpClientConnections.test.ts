import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHttpClient, type HttpResult } from '../../src/delivery/httpClient.ts';
import { client, connector, failed, success } from './fakes/client.ts';
import { startRawServer } from './fakes/rawServer.ts';
import { eventually } from '../support/eventually.ts';

const head = 'HTTP/1.1 200 OK\r\n';
const empty = `${head}content-length: 0\r\n\r\n`;

/** One request after another, each sent at the moment at which its connection is free. */
async function sendInTurn(origin: string, count: number): Promise<HttpResult[]> {
  const http = createHttpClient({ connect: connector(), allowRedirects: false });
  const results: HttpResult[] = [];
  await new Promise<void>((done) => {
    const next = () => {
      if (results.length === count) return done();
      const request = {
        origin,
        path: '/x/7',
        method: 'POST',
        headers: [],
        body: null,
        timeoutMs: 20_000,
        mayWrite: () => true,
        changeOrigin: (_origin: string, start: () => void) => start(),
      } as const;
      http.send({ ...request, headers: [] }, (result) => results.push(result), next);
    };
    next();
  });
  await http.close();
  return results;
}

test('requests in turn share one connection', async () => {
  await using server = await startRawServer({ onRequest: (socket) => void socket.write(empty) });
  const results = await sendInTurn(server.origin, 50);
  for (const result of results) assert.equal(result.kind, 'response');
  assert.equal(server.accepted(), 1);
});

test('a receiver that closes each connection and does not say so loses no request', async () => {
  await using server = await startRawServer({ onRequest: (socket) => socket.end(empty) });
  const results = await sendInTurn(server.origin, 300);
  for (const result of results) assert.equal(result.kind, 'response');
});

test('as many connections as there are requests at once, used again, and forgotten when closed', async () => {
  const server = await startRawServer({ onRequest: (socket) => void socket.write(empty) });
  await using http = client();
  const several = () => Promise.all(Array.from({ length: 20 }, () => http.send(server.origin)));
  for (let round = 0; round < 3; round += 1) {
    for (const result of await several()) assert.deepEqual(result, success);
  }
  assert.equal(server.accepted(), 20);
  assert.equal(http.origins(), 1);
  await server[Symbol.asyncDispose]();
  await eventually('all are forgotten', () => http.origins() === 0);
});

test('T27: no request waits in the client behind others of its origin', async () => {
  await using server = await startRawServer({});
  await using http = client();
  const busy = Array.from({ length: 20 }, () => http.send(server.origin, { timeoutMs: 3_000 }));
  const began = performance.now();
  assert.deepEqual(await http.send(server.origin, { timeoutMs: 200 }), failed('timeout'));
  assert.ok(performance.now() - began < 2_500);
  for (const result of await Promise.all(busy)) assert.deepEqual(result, failed('timeout'));
});

test('requests that the client itself refuses leave the origin as it was', async () => {
  await using server = await startRawServer({ onRequest: (socket) => void socket.write(empty) });
  await using http = client();
  assert.deepEqual(await http.send(server.origin), success);
  const refused = Array.from({ length: 10 }, () =>
    http.send(server.origin, { headers: ['a b', 'c'] }),
  );
  for (const result of await Promise.all(refused)) assert.equal(result.kind, 'error');
  assert.deepEqual(await http.send(server.origin), success);
  assert.deepEqual(await http.send(server.origin, { timeoutMs: 5_000 }), success);
});
