import { lookup, Resolver } from 'node:dns/promises';

/** An address as `net.connect` takes it from a look-up. */
export interface FoundAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/**
 * Looks names up for deliveries, each time anew: nothing is kept. All addresses of a name, or an
 * Error with a code of node:dns; `ETIMEOUT` when nothing has come in time.
 */
export interface NameLookup {
  /**
   * By DNS alone: no hosts file, no search domains, so that a stranger's name means here what it
   * means elsewhere. IPv4 first.
   */
  byDns(name: string): Promise<FoundAddress[]>;
  /** As the machine does it (getaddrinfo): for names that the operator has given. */
  bySystem(name: string): Promise<FoundAddress[]>;
}

/** The name servers of a machine may change: they are read anew so often. */
const systemServersMaxAgeMs = 30_000;
const triesMax = 3;

/**
 * Not getaddrinfo for strangers' names: it holds one of libuv's few threads until the name server has
 * answered, so that slow names stop every other look-up of the process. A name beside 40 that take
 * 2 s each: 40,064 ms by getaddrinfo, 1 ms so; docs/decisions/0008.
 */
export function createNameLookup(options: {
  /** Addresses, with a port or without; undefined for those of the machine. */
  servers: readonly string[] | undefined;
  timeoutMs: number;
  monotonicMs: () => number;
}): NameLookup {
  const { servers, timeoutMs, monotonicMs } = options;
  let current = createResolver();
  let madeAtMs = monotonicMs();
  const underWay = new Map<string, Promise<FoundAddress[]>>();

  function createResolver(): Resolver {
    // Lost datagrams are asked for again within the time that there is.
    const made = new Resolver({ timeout: Math.ceil(timeoutMs / (triesMax + 1)), tries: triesMax });
    if (servers !== undefined) made.setServers(servers);
    return made;
  }

  function resolver(): Resolver {
    if (servers === undefined && monotonicMs() - madeAtMs > systemServersMaxAgeMs) {
      current = createResolver();
      madeAtMs = monotonicMs();
    }
    return current;
  }

  return {
    byDns(name) {
      const asked = resolver();
      return gathered(
        [asked.resolve4(name).then(asFamily(4)), asked.resolve6(name).then(asFamily(6))],
        timeoutMs,
      );
    },
    bySystem(name) {
      let asked = underWay.get(name);
      if (asked === undefined) {
        // One thread a name at the most, however many connections wait for it.
        asked = lookup(name, { all: true, order: 'verbatim' })
          .then((found) => found.flatMap(({ address, family }) => asFamily(family)([address])))
          .finally(() => underWay.delete(name));
        underWay.set(name, asked);
      }
      return gathered([asked], timeoutMs);
    },
  };
}

const asFamily = (family: number) => (addresses: readonly string[]) =>
  addresses.map((address): FoundAddress => ({ address, family: family === 6 ? 6 : 4 }));

/**
 * What all have found. Name servers that answer for one family and are silent about the other are
 * common: for the second answer there is half of the time.
 */
function gathered(
  asked: readonly Promise<FoundAddress[]>[],
  timeoutMs: number,
): Promise<FoundAddress[]> {
  return new Promise((resolve, reject) => {
    const found: FoundAddress[][] = [];
    let failure: unknown = Object.assign(new Error('no answer in time'), { code: 'ETIMEOUT' });
    let left = asked.length;
    let isHalfOver = false;
    const end = () => {
      clearTimeout(half);
      clearTimeout(deadline);
      const all = found.flat();
      if (all.length > 0) resolve(all.toSorted((one, other) => one.family - other.family));
      else reject(failure);
    };
    const half = setTimeout(() => {
      isHalfOver = true;
      if (found.length > 0) end();
    }, timeoutMs / 2);
    const deadline = setTimeout(end, timeoutMs);
    const ended = () => {
      left -= 1;
      if (left === 0 || (isHalfOver && found.length > 0)) end();
    };
    for (const one of asked) {
      one.then(
        (addresses) => {
          found.push(addresses);
          ended();
        },
        (err: unknown) => {
          failure = err;
          ended();
        },
      );
    }
  });
}
