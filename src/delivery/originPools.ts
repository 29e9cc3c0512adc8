import { Pool, type Dispatcher } from 'undici';
import { withReadLimit } from './readLimit.ts';
import type { Hop } from './redirects.ts';
import type { Connector } from './tlsConnector.ts';

/**
 * undici's pools, one an origin (and of one, one for each identity in TLS: what is said on a connection
 * is said as whom it was made), each for as long as it has requests or connections. Not undici's
 * Agent, which keeps the pool of an origin for good when its last request was cut off, by a deadline
 * or by the receiver (8.12: 22 KB each; whoever may create timers can name a million hosts).
 */
export interface OriginPools {
  /** The end is to be told by `ended`. */
  dispatch(hop: Hop, handler: Dispatcher.DispatchHandler): void;
  /** A request that was dispatched has ended, in whatever way. */
  ended(hop: Hop): void;
  /** Pools that there are. */
  size(): number;
  destroy(): Promise<void>;
}

interface OriginPool {
  readonly pool: Pool;
  underWay: number;
  connected: number;
}

export function createOriginPools(options: {
  connect: Connector;
  connectionsPerOrigin: number;
  headBytesMax: number;
}): OriginPools {
  const { connectionsPerOrigin, headBytesMax } = options;
  const connect = withReadLimit(options.connect);
  const pools = new Map<string, OriginPool>();

  function create(key: string, { origin, tls }: Hop): OriginPool {
    const pool = new Pool(origin, {
      connections: connectionsPerOrigin,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: headBytesMax,
      // The total deadline is ours: these two do not fire on a drip or on endless 1xx responses.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: tls === undefined ? connect : (target, done) => connect({ ...target, tls }, done),
    });
    const made = { pool, underWay: 0, connected: 0 };
    pool.on('connect', () => (made.connected += 1));
    pool.on('disconnect', () => {
      made.connected -= 1;
      forgetUnused(key, made);
    });
    pools.set(key, made);
    return made;
  }

  function forgetUnused(key: string, one: OriginPool): void {
    if (one.underWay > 0 || one.connected > 0 || pools.get(key) !== one) return;
    pools.delete(key);
    void one.pool.close();
  }

  return {
    dispatch(hop, handler) {
      const { path, method, headers, body } = hop;
      const key = keyOf(hop);
      const one = pools.get(key) ?? create(key, hop);
      one.underWay += 1;
      one.pool.dispatch({ path, method, headers, body }, handler);
    },
    ended(hop) {
      const key = keyOf(hop);
      const one = pools.get(key);
      if (one === undefined) return;
      one.underWay -= 1;
      forgetUnused(key, one);
    },
    size: () => pools.size,
    async destroy() {
      const all = [...pools.values()];
      pools.clear();
      await Promise.all(all.map(({ pool }) => pool.destroy()));
    },
  };
}

function keyOf({ origin, tls }: Hop): string {
  return tls === undefined ? origin : `${origin} ${tls.id}`;
}
