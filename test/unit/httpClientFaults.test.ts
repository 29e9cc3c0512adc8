import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { client, failed, success } from './fakes/client.ts';
import { startRawServer } from './fakes/rawServer.ts';

const head = 'HTTP/1.1 200 OK\r\n';
const whole = `${head}content-length: 0\r\n\r\n`;
const large = Buffer.alloc(8 * 1024 * 1024, 'a');

/** How far the exchange gets before the receiver ends the connection, and what the attempt is then. */
const stages: readonly {
  stage: string;
  /** At once when the connection is there, in the middle of the request, or after its head. */
  when: 'accepted' | 'reading' | 'asked';
  writes?: string;
  reset: unknown;
  closed: unknown;
}[] = [
  {
    stage: 'after accept',
    when: 'accepted',
    reset: failed('connection_reset'),
    closed: failed('connection_reset'),
  },
  {
    stage: 'in the middle of the request',
    when: 'reading',
    reset: failed('connection_reset'),
    closed: failed('connection_reset'),
  },
  {
    stage: 'after the request',
    when: 'asked',
    reset: failed('connection_reset'),
    closed: failed('connection_reset'),
  },
  {
    stage: 'in the status line',
    when: 'asked',
    writes: 'HTTP/1.1 20',
    reset: failed('connection_reset'),
    closed: failed('connection_reset'),
  },
  {
    stage: 'in the headers',
    when: 'asked',
    writes: `${head}content-le`,
    reset: failed('connection_reset'),
    closed: failed('connection_reset'),
  },
  {
    stage: 'in a body of a given length',
    when: 'asked',
    writes: `${head}content-length: 10\r\n\r\nabc`,
    reset: failed('connection_reset'),
    closed: failed('connection_reset'),
  },
  {
    stage: 'in a chunked body',
    when: 'asked',
    writes: `${head}transfer-encoding: chunked\r\n\r\n5\r\nab`,
    reset: failed('connection_reset'),
    closed: failed('connection_reset'),
  },
  {
    // What came counts: of such a body nobody knows how long it was to be.
    stage: 'in a body that its end would end',
    when: 'asked',
    writes: `${head}connection: close\r\n\r\nabc`,
    reset: success,
    closed: success,
  },
  {
    stage: 'after the response',
    when: 'asked',
    writes: whole,
    reset: success,
    closed: success,
  },
  {
    stage: 'after a 1xx response',
    when: 'asked',
    writes: 'HTTP/1.1 103 Early Hints\r\n\r\n',
    reset: failed('connection_reset'),
    closed: failed('connection_reset'),
  },
];

for (const { stage, when, writes = '', reset, closed } of stages) {
  for (const [what, end, expected] of [
    ['reset', (socket: Socket) => void socket.resetAndDestroy(), reset],
    ['closed', (socket: Socket) => void socket.end(), closed],
  ] as const) {
    test(`T25: a connection that is ${what} ${stage} is one attempt with one result`, async () => {
      // What was written is to arrive before the end does.
      const finish = (socket: Socket) =>
        socket.write(writes, () => setTimeout(() => end(socket), 20));
      await using server = await startRawServer({
        onConnection(socket) {
          if (when === 'accepted') end(socket);
          if (when === 'reading') socket.once('data', () => (socket.pause(), end(socket)));
        },
        onRequest(socket) {
          if (when === 'asked') finish(socket);
        },
      });
      await using http = client();
      const body = when === 'reading' ? large : null;
      const result = await http.send(server.origin, { body, timeoutMs: 5_000 });
      assert.deepEqual(result, expected);
      assert.equal(server.accepted(), 1, 'never tried again within the attempt');
      // The next request is not to go to a connection that is about to end.
      if (when === 'asked') await server.closed();
      const again = await http.send(server.origin, { body, timeoutMs: 5_000 });
      assert.deepEqual(again, expected, 'and the destination is not stuck');
    });
  }
}

test('T20: headers up to 16 KiB in all are read, more are not', async () => {
  await using server = await startRawServer({
    onRequest(socket, count) {
      const line = `x-a: ${'a'.repeat(993)}\r\n`;
      socket.write(`${head}${line.repeat(count === 1 ? 15 : 17)}content-length: 0\r\n\r\n`);
    },
  });
  await using http = client();
  assert.deepEqual(await http.send(server.origin), success);
  assert.deepEqual(await http.send(server.origin), failed('response_invalid'));
  await server.closed();
});

/** Writes as fast as the socket takes it, until it is closed. */
function flood(socket: Socket, chunk: string): void {
  const more = () => {
    while (!socket.destroyed && socket.write(chunk));
    if (!socket.destroyed) socket.once('drain', more);
  };
  more();
}

test('T17: a flood of 1xx responses ends long before the deadline', async () => {
  await using server = await startRawServer({
    onRequest: (socket) => flood(socket, 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(50)),
  });
  await using http = client();
  assert.deepEqual(await http.send(server.origin), failed('response_invalid'));
  await server.closed();
});

for (const [what, start, chunk] of [
  ['headers', head, 'x-a: b\r\n'],
  ['one header', `${head}x-a: `, 'a'],
  ['the status line', 'HTTP/1.1 200 ', 'a'],
  ['a chunked body', `${head}transfer-encoding: chunked\r\n\r\n`, '5\r\nabcde\r\n'],
  ['a body without an end', `${head}connection: close\r\n\r\n`, 'a'],
  ['trailers', `${head}transfer-encoding: chunked\r\n\r\n0\r\n`, 'x-a: b\r\n'],
  ['a chunk extension', `${head}transfer-encoding: chunked\r\n\r\n1;`, 'a'],
  ['blank lines before the response', '', '\r\n'],
] as const) {
  test(`a flood of ${what} ends by its size, long before the deadline`, async () => {
    await using server = await startRawServer({
      onRequest(socket) {
        socket.write(start);
        flood(socket, chunk.repeat(1_000));
      },
    });
    await using http = client();
    const result = await http.send(server.origin, { timeoutMs: 20_000 });
    const isCut = result.kind === 'response' && result.status === 200;
    assert.ok(isCut || result.kind === 'error', JSON.stringify(result));
    if (!isCut) assert.deepEqual(result, failed('response_invalid'));
    await server.closed();
  });
}

test('a receiver that never reads what it is sent ends the attempt by the deadline', async () => {
  await using server = await startRawServer({ onConnection: (socket) => socket.pause() });
  await using http = client();
  const result = await http.send(server.origin, { body: large, timeoutMs: 300 });
  assert.deepEqual(result, failed('timeout'));
});

test('T24: responses that nobody asked for, on a connection at rest, close it', async () => {
  await using server = await startRawServer({
    onRequest(socket, count) {
      socket.write(`HTTP/1.1 ${200 + count} X\r\ncontent-length: 0\r\n\r\n`);
      setTimeout(() => socket.write(whole.repeat(3)), 20);
    },
  });
  await using http = client();
  for (const count of [1, 2, 3]) {
    const status = 200 + count;
    assert.deepEqual(await http.send(server.origin), { ...success, status });
    await server.closed(count);
  }
});

test('a connection may carry any number of answers, however much they are in all', async () => {
  await using server = await startRawServer({
    onRequest: (socket) =>
      socket.write(`${head}content-length: 60000\r\n\r\n${'a'.repeat(60_000)}`),
  });
  await using http = client();
  for (let n = 0; n < 40; n += 1) {
    assert.deepEqual(await http.send(server.origin), success);
    // Long enough now and then for what came in to be looked at.
    if (n % 10 === 0) await sleep(60);
  }
  assert.equal(server.accepted(), 1);
});

test('of an origin nothing is kept once its connections are closed, however its requests ended', async () => {
  await using silent = await startRawServer({});
  await using closing = await startRawServer({
    onRequest: (socket) => socket.end(`${head}connection: close\r\ncontent-length: 0\r\n\r\n`),
  });
  await using resetting = await startRawServer({
    onRequest: (socket) => void socket.resetAndDestroy(),
  });
  await using dripping = await startRawServer({
    onRequest: (socket) => void socket.write(`${head}content-length: 5\r\n\r\na`),
  });
  const gone = await startRawServer({});
  await gone[Symbol.asyncDispose]();
  await using http = client({ connectTimeoutMs: 300 });
  for (const { origin } of [silent, closing, resetting, dripping, gone]) {
    await Promise.all([1, 2, 3].map(() => http.send(origin, { timeoutMs: 200 })));
  }
  await http.send('http://10.0.0.1');
  await http.send('http://no-such-host.invalid');
  await http.send(silent.origin.replace('http:', 'https:'), { timeoutMs: 100 });
  await eventually('all are forgotten', () => http.origins() === 0);
});
