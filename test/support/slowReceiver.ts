import { createServer, type Socket } from 'node:net';

/**
 * Run as a process of its own (so that its memory is not that of who calls it): listens on every
 * address of the machine, prints its port, and answers requests as slowly as it can, in turn by
 * silence, a body, headers, and 1xx responses that drip.
 */
const everyMs = 100;
const ways: readonly [start: string, drop: string][] = [
  ['', ''],
  ['HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n', 'a'],
  ['HTTP/1.1 200 OK\r\n', 'x-a: b\r\n'],
  ['', 'HTTP/1.1 103 Early Hints\r\n\r\n'],
];

const dripping = new Map<Socket, string>();
let next = 0;
const server = createServer((socket) => {
  socket.on('error', () => undefined).on('close', () => dripping.delete(socket));
  socket.once('data', () => {
    const [start, drop] = ways[next % ways.length] ?? ['', ''];
    next += 1;
    socket.write(start);
    if (drop !== '') dripping.set(socket, drop);
  });
});
setInterval(() => {
  for (const [socket, drop] of dripping) socket.write(drop);
}, everyMs);
server.listen({ port: 0, host: '0.0.0.0', backlog: 4_096 }, () => {
  const address = server.address();
  console.log(typeof address === 'object' && address !== null ? address.port : '');
});
