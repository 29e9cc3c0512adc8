import { Pool, type buildConnector, type Dispatcher } from 'undici';
import { withReadLimit } from './readLimit.ts';
import type { Hop } from './redirects.ts';

/**
 * undici's pools, one an origin, each for as long as it has requests or connections. Not undici's
 * Agent, which keeps the pool of an origin for good when its last request was cut off, by a deadline
 * or by the receiver (8.12: 22 KB each; whoever may create timers can name a million hosts).
 */
export interface OriginPools {
  /** The end is to be told by `ended`. */
  dispatch(hop: Hop, handler: Dispatcher.DispatchHandler): void;
  /** A request that was dispatched to this origin has ended, in whatever way. */
  ended(origin: string): void;
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
  connect: buildConnector.connector;
  connectionsPerOrigin: number;
  headBytesMax: number;
}): OriginPools {
  const { connectionsPerOrigin, headBytesMax } = options;
  const connect = withReadLimit(options.connect);
  const pools = new Map<string, OriginPool>();

  function create(origin: string): OriginPool {
    const pool = new Pool(origin, {
      connections: connectionsPerOrigin,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: headBytesMax,
      // The total deadline is ours: these two do not fire on a drip or on endless 1xx responses.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect,
    });
    const made = { pool, underWay: 0, connected: 0 };
    pool.on('connect', () => (made.connected += 1));
    pool.on('disconnect', () => {
      made.connected -= 1;
      forgetUnused(origin, made);
    });
    pools.set(origin, made);
    return made;
  }

  function forgetUnused(origin: string, one: OriginPool): void {
    if (one.underWay > 0 || one.connected > 0 || pools.get(origin) !== one) return;
    pools.delete(origin);
    void one.pool.close();
  }

  return {
    dispatch({ origin, path, method, headers, body }, handler) {
      const one = pools.get(origin) ?? create(origin);
      one.underWay += 1;
      one.pool.dispatch({ path, method, headers, body }, handler);
    },
    ended(origin) {
      const one = pools.get(origin);
      if (one === undefined) return;
      one.underWay -= 1;
      forgetUnused(origin, one);
    },
    size: () => pools.size,
    async destroy() {
      const all = [...pools.values()];
      pools.clear();
      await Promise.all(all.map(({ pool }) => pool.destroy()));
    },
  };
}
