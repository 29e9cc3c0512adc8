import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';

/** `toServer`: what the client says; `toClient`: what it is answered. */
export type Direction = 'toServer' | 'toClient';

/** What becomes of one chunk on its way. */
export type Fate =
  | 'pass'
  /** Kept until `release`, with all that follows in that direction of the connection. */
  | 'hold'
  /** Swallowed, and the connection cut on both sides. */
  | 'cut';

/** Stands between a client and a server, and can fail the way that networks do. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Asked for each chunk; passes everything until set. */
  onChunk: (direction: Direction, chunk: Buffer, connection: ProxiedConnection) => Fate;
  /** Lets go what is held. */
  release(): void;
  /** Cuts every connection, held chunks are lost. */
  cutAll(): void;
  /** New connections are refused (cut at once) while false. */
  accepting: boolean;
  /** Milliseconds that each chunk takes, by direction. */
  readonly delayMs: Record<Direction, number>;
  connections(): number;
}

/** One connection, to tell it from others. */
export interface ProxiedConnection {
  readonly id: number;
}

interface Pair extends ProxiedConnection {
  readonly client: Socket;
  readonly server: Socket;
  readonly held: Record<Direction, Buffer[] | undefined>;
}

/** Listens on a loopback port and forwards to a port or to a Unix socket. */
export async function startTcpProxy(
  target: { port: number; host?: string } | { path: string },
): Promise<TcpProxy> {
  const pairs = new Set<Pair>();
  let lastId = 0;

  function cut(pair: Pair): void {
    pairs.delete(pair);
    pair.client.destroy();
    pair.server.destroy();
  }

  function forward(pair: Pair, direction: Direction, chunk: Buffer): void {
    const to = direction === 'toServer' ? pair.server : pair.client;
    const delayMs = proxy.delayMs[direction];
    if (delayMs === 0) to.write(chunk);
    else setTimeout(() => to.write(chunk), delayMs);
  }

  function arrived(pair: Pair, direction: Direction, chunk: Buffer): void {
    const held = pair.held[direction];
    if (held !== undefined) {
      held.push(chunk);
      return;
    }
    switch (proxy.onChunk(direction, chunk, pair)) {
      case 'cut':
        return cut(pair);
      case 'hold':
        pair.held[direction] = [chunk];
        return;
      case 'pass':
      default:
        forward(pair, direction, chunk);
    }
  }

  const listener = createServer((client) => {
    if (!proxy.accepting) {
      client.destroy();
      return;
    }
    const server = createConnection(target);
    client.setNoDelay(true);
    server.setNoDelay(true);
    lastId += 1;
    const held = { toServer: undefined, toClient: undefined };
    const pair: Pair = { id: lastId, client, server, held };
    pairs.add(pair);
    client.on('data', (chunk: Buffer) => arrived(pair, 'toServer', chunk));
    server.on('data', (chunk: Buffer) => arrived(pair, 'toClient', chunk));
    for (const socket of [client, server]) {
      socket.on('error', () => cut(pair));
      socket.on('close', () => cut(pair));
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));

  const proxy: TcpProxy = {
    port: (listener.address() as AddressInfo).port,
    onChunk: () => 'pass',
    release() {
      for (const pair of pairs) {
        for (const direction of ['toServer', 'toClient'] as const) {
          const chunks = pair.held[direction] ?? [];
          pair.held[direction] = undefined;
          for (const chunk of chunks) forward(pair, direction, chunk);
        }
      }
    },
    cutAll() {
      for (const pair of pairs) cut(pair);
    },
    accepting: true,
    delayMs: { toServer: 0, toClient: 0 },
    connections: () => pairs.size,
    async [Symbol.asyncDispose]() {
      for (const pair of pairs) cut(pair);
      await new Promise((resolve) => listener.close(resolve));
    },
  };
  return proxy;
}

/**
 * A proxy in front of the PostgreSQL of `databaseUrl`, and the URL that leads through it. Where the
 * server listens only on a Unix socket, the proxy is what makes it reachable by TCP.
 */
export async function startPostgresProxy(
  databaseUrl: string,
): Promise<{ proxy: TcpProxy; url: string } & AsyncDisposable> {
  const url = new URL(databaseUrl);
  const host = decodeURIComponent(url.hostname);
  const port = Number(url.port || '5432');
  const proxy = await startTcpProxy(
    host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port },
  );
  url.host = `127.0.0.1:${proxy.port}`;
  return { proxy, url: url.href, [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose]() };
}

/** Whether a chunk from a client parses or binds the prepared statement of that name. */
export function runsStatement(chunk: Buffer, name: string): boolean {
  return chunk.includes(`${name}\0`);
}

/**
 * The next run of a named statement meets a fault: its `request` never reaches the server, or its
 * `answer` never reaches the client although the server has done it. Resolves once that happened.
 */
export function failOnce(
  proxy: TcpProxy,
  name: string,
  lost: 'request' | 'answer',
  fate: 'cut' | 'hold' = 'cut',
): Promise<void> {
  return new Promise((resolve) => {
    let victim: ProxiedConnection | undefined;
    proxy.onChunk = (direction, chunk, connection) => {
      if (direction === 'toServer' && victim === undefined && runsStatement(chunk, name)) {
        victim = connection;
        if (lost === 'answer') return 'pass';
        proxy.onChunk = () => 'pass';
        resolve();
        return fate;
      }
      if (direction === 'toClient' && victim === connection) {
        proxy.onChunk = () => 'pass';
        resolve();
        return fate;
      }
      return 'pass';
    };
  });
}
