import { Client } from 'undici';
import { withReadLimit } from './readLimit.ts';
import type { Hop } from './redirects.ts';
import type { Connector } from './tlsConnector.ts';

/**
 * One of undici's clients, which is a connection to an origin, made when a request needs it (and to one
 * origin, one as each identity in TLS: what is said on a connection is said as whom it was made).
 */
export interface Connection {
  readonly client: Client;
  readonly origin: Origin;
  isConnected: boolean;
  /** Whose request has ended and who waits for undici to be done with it. */
  user: ConnectionUser | undefined;
}

export interface ConnectionUser {
  onConnectionFree(): void;
}

interface Origin {
  readonly key: string;
  /** The one that was free last comes last, and is taken first: those that are not needed close. */
  readonly idle: Connection[];
  size: number;
}

/**
 * Connections that are kept for who calls the same origin again. How many there are is for who takes them to
 * bound: each has one request at a time. Not undici's Pool: the queue that each of those has before its
 * clients takes 16 KB (8.12), and here nothing waits in it; nor its Agent, which keeps the pool of an origin
 * for good when its last request was cut off (whoever may create timers can name a million hosts).
 */
export interface Connections {
  /** For one request, at whose end it is to be given back, by `release` or by `drop`. */
  take(hop: Hop): Connection;
  /**
   * Tells the user once another request may follow: a turn later, so that a receiver that closes the connection
   * and does not say so has been heard (of requests sent at once every second one was lost).
   */
  release(connection: Connection, user: ConnectionUser): void;
  /** It is broken: nothing is sent on it any more. */
  drop(connection: Connection): void;
  /** Origins of which a connection is kept. */
  origins(): number;
  destroy(): Promise<void>;
}

export function createConnections(options: {
  connect: Connector;
  headBytesMax: number;
}): Connections {
  const { headBytesMax } = options;
  const connect = withReadLimit(options.connect);
  const origins = new Map<string, Origin>();
  const all = new Set<Connection>();

  function create(origin: Origin, { origin: url, tls }: Hop): Connection {
    const client = new Client(url, {
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: headBytesMax,
      // The total deadline is ours: these two do not fire on a drip or on endless 1xx responses.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: tls === undefined ? connect : (target, done) => connect({ ...target, tls }, done),
    });
    const connection: Connection = { client, origin, isConnected: false, user: undefined };
    client.on('connect', () => (connection.isConnected = true));
    client.on('disconnect', () => {
      connection.isConnected = false;
      // With a request that is yet to be sent, it connects again.
      const at = origin.idle.indexOf(connection);
      if (at < 0) return;
      origin.idle.splice(at, 1);
      drop(connection);
    });
    client.on('drain', () => {
      const { user } = connection;
      if (user === undefined) return;
      connection.user = undefined;
      if (connection.isConnected) origin.idle.push(connection);
      else drop(connection);
      user.onConnectionFree();
    });
    all.add(connection);
    origin.size += 1;
    return connection;
  }

  function drop(connection: Connection): void {
    if (!all.delete(connection)) return;
    const { origin, client } = connection;
    origin.size -= 1;
    if (origin.size === 0) origins.delete(origin.key);
    void client.close();
  }

  return {
    take(hop) {
      const key = hop.tls === undefined ? hop.origin : `${hop.origin} ${hop.tls.id}`;
      let origin = origins.get(key);
      if (origin === undefined) {
        origin = { key, idle: [], size: 0 };
        origins.set(key, origin);
      }
      return origin.idle.pop() ?? create(origin, hop);
    },
    release(connection, user) {
      connection.user = user;
    },
    drop,
    origins: () => origins.size,
    async destroy() {
      const connections = [...all];
      all.clear();
      origins.clear();
      await Promise.all(connections.map(({ client }) => client.destroy()));
      for (const { user } of connections) user?.onConnectionFree();
    },
  };
}
