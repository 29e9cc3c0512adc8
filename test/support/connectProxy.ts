import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A real proxy on loopback that makes connections on demand (CONNECT). */
export interface ConnectProxy extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Every request that came: the head, in the order of arrival. */
  readonly requests: readonly string[];
}

/**
 * `names` says where a name leads (the proxy looks names up, not who asks it); `answer` may answer in
 * place of connecting, byte by byte.
 */
export async function startConnectProxy(options: {
  names?: Readonly<Record<string, string>>;
  answer?: (socket: Socket, authority: string) => boolean;
}): Promise<ConnectProxy> {
  const { names = {}, answer } = options;
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    return socket;
  };
  const server = createServer((socket) => {
    keep(socket);
    let head = '';
    socket.on('data', function read(chunk: Buffer) {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.off('data', read);
      requests.push(head);
      const [, authority = ''] = /^CONNECT (\S+) HTTP\/1\.1\r\n/.exec(head) ?? [];
      if (answer?.(socket, authority) === true) return;
      const { hostname, port } = new URL(`http://${authority}`);
      const target = keep(connect(Number(port) || 80, names[hostname] ?? hostname));
      target.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
      target.on('connect', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(target).pipe(socket);
      });
      socket.on('close', () => target.destroy());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    requests,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
