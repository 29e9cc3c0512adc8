import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';

/** A TCP server on loopback that says what the test wants, byte by byte. */
export interface RawServer extends AsyncDisposable {
  readonly port: number;
  readonly origin: string;
  /** Connections that were accepted, whatever became of them. */
  accepted(): number;
  /** All that arrived, in the order of arrival. */
  received(): string;
  /** Resolves once so many connections have been closed. */
  closed(count?: number): Promise<void>;
}

/** `onRequest` is called for each connection once the head of a request has arrived. */
export async function startRawServer(options: {
  host?: string;
  onConnection?: (socket: Socket) => void;
  onRequest?: (socket: Socket, count: number) => void;
}): Promise<RawServer> {
  const { host = '127.0.0.1', onConnection, onRequest } = options;
  const sockets = new Set<Socket>();
  let accepted = 0;
  let requests = 0;
  let closed = 0;
  let received = '';
  let onClosed: (() => void)[] = [];
  const server = createServer((socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      closed += 1;
      for (const check of onClosed) check();
    });
    let head = '';
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      head = '';
      requests += 1;
      onRequest?.(socket, requests);
    });
    onConnection?.(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    origin: `http://${host}:${port}`,
    accepted: () => accepted,
    received: () => received,
    closed: (count = 1) =>
      new Promise((resolve) => {
        const check = () => {
          if (closed < count) return;
          onClosed = onClosed.filter((other) => other !== check);
          resolve();
        };
        onClosed.push(check);
        check();
      }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Writes a chunk again and again until the socket is closed. */
export function drip(socket: Socket, chunk: string, everyMs = 10): void {
  const timer = setInterval(() => socket.write(chunk), everyMs);
  socket.on('close', () => clearInterval(timer));
}
