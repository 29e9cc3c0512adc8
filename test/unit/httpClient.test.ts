import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { responseBytesMax } from '../../src/delivery/httpClient.ts';
import { sampleBytesMax } from '../../src/delivery/responseSample.ts';
import { startReceiver } from '../support/receiver.ts';
import { allowing, client, failed, success } from './fakes/client.ts';
import { drip, startRawServer } from './fakes/rawServer.ts';
import { selfSigned } from '../support/selfSigned.ts';

const deadline = { timeoutMs: 150 };
const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

test('method, path, headers and body travel as given, and the status comes back', async () => {
  await using receiver = await startReceiver((res, { path }) => {
    res.statusCode = path === '/b?q=1' ? 503 : 204;
    res.end();
  });
  await using http = client();
  const headers = ['webhook-id', 'a_7', 'x-a', '1', 'x-a', '2'];
  assert.deepEqual(
    await http.send(receiver.url, { method: 'PUT', headers, body: Buffer.from('héllo') }),
    { kind: 'response', status: 204, errorCode: null },
  );
  assert.deepEqual(await http.send(receiver.url, { path: '/b?q=1' }), {
    kind: 'response',
    status: 503,
    errorCode: 'http_status',
  });
  const [first, second] = receiver.arrivals;
  assert.equal(first?.method, 'PUT');
  assert.equal(first?.path, '/x/7');
  assert.equal(first?.headers['x-a'], '1, 2');
  assert.equal(first?.body, 'héllo');
  assert.equal(second?.method, 'POST');
  assert.equal(second?.headers['content-length'], '0');
});

test('a name that cannot be looked up is dns_failed', async () => {
  await using http = client();
  assert.deepEqual(await http.send('http://no-such-host.invalid'), failed('dns_failed'));
});

test('nobody listening is connection_refused', async () => {
  const server = await startRawServer({});
  await server[Symbol.asyncDispose]();
  await using http = client();
  assert.deepEqual(await http.send(server.origin), failed('connection_refused'));
});

for (const [what, begin] of [
  ['T17: endless 103 responses', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'],
  ['T18: a body that drips, chunked', '1\r\na\r\n'],
  ['T18: a body that drips, of a given length', 'a'],
  ['T19: headers that drip', 'x-drip: 1\r\n'],
] as const) {
  test(`${what} end with the deadline, and the connection is closed`, async () => {
    await using server = await startRawServer({
      onRequest(socket) {
        if (what.includes('chunked')) {
          socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
        } else if (what.includes('length')) {
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n');
        } else if (what.includes('headers')) socket.write('HTTP/1.1 200 OK\r\n');
        drip(socket, begin);
      },
    });
    await using http = client();
    assert.deepEqual(await http.send(server.origin, deadline), failed('timeout'));
    await server.closed();
    assert.equal(server.accepted(), 1, 'and it is not tried again within the attempt');
  });
}

test('accept then silence ends with the deadline, and the connection is closed', async () => {
  await using server = await startRawServer({});
  await using http = client();
  assert.deepEqual(await http.send(server.origin, deadline), failed('timeout'));
  await server.closed();
  assert.match(server.received(), /^POST \/x\/7 HTTP\/1\.1\r\n/);
});

test('a response counts that comes while others are ended by the same deadline', async () => {
  const open = new Set<Socket>();
  let isAnswered = false;
  await using server = await startRawServer({
    onRequest(socket) {
      if (isAnswered) socket.write(ok);
      else open.add(socket);
      socket.once('close', () => {
        open.delete(socket);
        if (!isAnswered) for (const other of open) other.write(ok);
        isAnswered = true;
      });
    },
  });
  await using http = client();

  const sends = Array.from({ length: 100 }, () => http.send(server.origin, deadline));
  const results = await Promise.all(sends);

  const answered = results.filter(({ kind }) => kind === 'response');
  assert.ok(answered.length > 0 && answered.length < 100, `${answered.length} of 100`);
  for (const result of results)
    assert.deepEqual(result, result.kind === 'response' ? success : failed('timeout'));
  assert.deepEqual(await http.send(server.origin), success);
});

test('the deadline includes connecting: a handshake that never ends is a timeout', async () => {
  await using server = await startRawServer({});
  await using http = client({ connectTimeoutMs: 300 });
  const origin = server.origin.replace('http:', 'https:');
  assert.deepEqual(await http.send(origin, deadline), failed('timeout'));
});

test('T20: 40 KB of headers are refused', async () => {
  await using server = await startRawServer({
    onRequest: (socket) =>
      socket.write(`HTTP/1.1 200 OK\r\nx-big: ${'a'.repeat(40_000)}\r\ncontent-length: 0\r\n\r\n`),
  });
  await using http = client();
  assert.deepEqual(await http.send(server.origin), failed('response_invalid'));
  await server.closed();
});

for (const [status, result] of [
  ['200 OK', success],
  ['500 No', { kind: 'response', status: 500, errorCode: 'http_status' }],
] as const) {
  test(`T21: of 26 MB only the first part is read; the status (${status}) counts`, async () => {
    const total = 26_214_400;
    let written = 0;
    await using server = await startRawServer({
      onRequest(socket) {
        socket.write(`HTTP/1.1 ${status}\r\ncontent-length: ${total}\r\n\r\n`);
        const chunk = 'a'.repeat(65_536);
        const more = () => {
          while (written < total && !socket.destroyed) {
            written += chunk.length;
            if (socket.write(chunk)) continue;
            socket.once('drain', more);
            return;
          }
        };
        more();
      },
    });
    await using http = client();
    assert.deepEqual(await http.send(server.origin), result);
    await server.closed();
    assert.ok(written < total, `${written} were written`);
    assert.equal(http.kept()?.body?.length, sampleBytesMax, 'a little of it is kept');
  });
}

test('a response up to the cap is read to its end and the connection is used again', async () => {
  await using server = await startRawServer({
    onRequest: (socket) =>
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-length: ${responseBytesMax}\r\n\r\n${'a'.repeat(responseBytesMax)}`,
      ),
  });
  await using http = client();
  assert.deepEqual(await http.send(server.origin), success);
  assert.deepEqual(await http.send(server.origin), success);
  assert.equal(server.accepted(), 1);
});

test('T22: a compressed response is not inflated: 5 MB that travel as 5 KB stay below the cap', async () => {
  const zipped = gzipSync(Buffer.alloc(5_000_000)).toString('latin1');
  await using server = await startRawServer({
    onRequest: (socket) =>
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${zipped.length}\r\n\r\n${zipped}`,
        'latin1',
      ),
  });
  await using http = client();
  assert.deepEqual(await http.send(server.origin), success);
  assert.deepEqual(await http.send(server.origin), success);
  assert.equal(server.accepted(), 1, 'nothing was cut off');
});

for (const [what, response] of [
  [
    'T23: a response with content-length and transfer-encoding',
    'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  ],
  ['a response that is not HTTP', 'SSH-2.0-OpenSSH_9.9\r\n'],
  ['a response with a malformed status line', 'HTTP/1.1 abc\r\n\r\n'],
] as const) {
  test(`${what} is response_invalid, and the connection is closed`, async () => {
    await using server = await startRawServer({ onRequest: (socket) => socket.write(response) });
    await using http = client();
    assert.deepEqual(await http.send(server.origin), failed('response_invalid'));
    await server.closed();
  });
}

test('T24: a second response that nobody asked for does not answer the next request', async () => {
  await using server = await startRawServer({
    onRequest(socket, count) {
      const own = `HTTP/1.1 ${count === 1 ? 200 : 503} X\r\ncontent-length: 0\r\n\r\n`;
      socket.write(own + (count === 1 ? 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n' : ''));
    },
  });
  await using http = client();
  assert.deepEqual(await http.send(server.origin), success);
  await server.closed();
  assert.deepEqual(await http.send(server.origin), {
    kind: 'response',
    status: 503,
    errorCode: 'http_status',
  });
});

for (const [what, end] of [
  ['reset', 'resetAndDestroy'],
  ['closed', 'end'],
] as const) {
  test(`T25: a connection that is ${what} after the request is one failed attempt`, async () => {
    await using server = await startRawServer({ onRequest: (socket) => void socket[end]() });
    await using http = client();
    assert.deepEqual(await http.send(server.origin), failed('connection_reset'));
    assert.equal(server.accepted(), 1, 'never tried again within the attempt');
  });
}

test('a connection that ends in the middle of a body is a failed attempt', async () => {
  await using server = await startRawServer({
    onRequest: (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'),
  });
  await using http = client();
  const result = await http.send(server.origin);
  assert.equal(result.kind, 'error');
});

test('T25: a certificate that nobody has signed is tls_untrusted, and nothing is sent', async () => {
  let requests = 0;
  const server = createHttpsServer(selfSigned, (_req, res) => {
    requests += 1;
    res.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await using http = client({ guard: allowing('localhost,127.0.0.0/8,::1') });
  assert.deepEqual(await http.send(`https://127.0.0.1:${port}`), failed('tls_untrusted'));
  assert.equal(requests, 0);
  await new Promise((resolve) => server.close(resolve));
});

test('a server that speaks no TLS is tls_failed', async () => {
  await using server = await startRawServer({
    onConnection: (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  });
  await using http = client();
  const result = await http.send(server.origin.replace('http:', 'https:'));
  assert.deepEqual(result, failed('tls_failed'));
});

test('when the request may not be written any more, nothing arrives', async () => {
  await using receiver = await startReceiver();
  await using http = client();
  const refused = await http.send(receiver.url, { path: '/refused', mayWrite: () => false });
  assert.deepEqual(refused, { kind: 'not_written' });
  assert.deepEqual(await http.send(receiver.url, { path: '/marker' }), success);
  // Also on a connection that is open already.
  const again = await http.send(receiver.url, { path: '/refused', mayWrite: () => false });
  assert.deepEqual(again, { kind: 'not_written' });
  assert.deepEqual(await http.send(receiver.url, { path: '/marker' }), success);
  assert.deepEqual(
    receiver.arrivals.map(({ path }) => path),
    ['/marker', '/marker'],
  );
});

test('a hundred 1xx responses before the final one do not disturb it', async () => {
  await using server = await startRawServer({
    onRequest: (socket) =>
      socket.write(
        `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n`,
      ),
  });
  await using http = client();
  assert.deepEqual(await http.send(server.origin), success);
});

test('101 Switching Protocols, which nobody asked for, is a failed attempt', async () => {
  await using server = await startRawServer({
    onRequest: (socket) =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
  });
  await using http = client();
  const result = await http.send(server.origin, { timeoutMs: 2_000 });
  assert.equal(result.kind, 'error');
  await server.closed();
});

test('a slow destination holds its connections and no others', async () => {
  await using silent = await startRawServer({});
  await using receiver = await startReceiver();
  await using http = client();
  const stuck = [1, 2, 3, 4].map(() => http.send(silent.origin, { timeoutMs: 400 }));
  assert.deepEqual(await http.send(receiver.url), success);
  assert.deepEqual(
    await Promise.all(stuck),
    stuck.map(() => failed('timeout')),
  );
});
