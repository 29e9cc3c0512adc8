import type { MachineClock } from '../core/clock.ts';
import { indexByPattern, type ByPattern } from '../core/destinationPattern.ts';
import type { SecretBox } from '../core/secretBox.ts';
import { signingKeyPlace } from '../core/signingKey.ts';
import { parseSigningSecret, type SigningKey } from '../core/webhookSignature.ts';
import { createProjectCache } from './projectCache.ts';

interface KeyRecord {
  readonly id: string;
  /** A pattern. */
  readonly destination: string;
  readonly record: string;
}

/** Where signing keys are read. */
export interface SigningKeyStore {
  /** Those that may have keys; undefined for more than `max`. */
  projects(max: number): Promise<ReadonlySet<number> | undefined>;
  /** By project, without projects that have none. */
  records(projectIds: readonly number[]): Promise<ReadonlyMap<number, readonly KeyRecord[]>>;
}

/**
 * What signs the attempts of a project at a URL, at most about a second old: the keys of the most
 * specific pattern that has any.
 */
export interface SigningKeys {
  /** Undefined: they have to be read. */
  known(projectId: number, url: string): readonly SigningKey[] | undefined;
  /**
   * `secret_unreadable`: there are some, and not all of them can be decrypted: what is signed by the
   * others only would not be taken by all receivers. Rejects when the store cannot be asked.
   */
  read(projectId: number, url: string): Promise<Keys>;
  /** Looks which projects have keys: several times a second, so that no attempt of others waits. */
  refresh(): Promise<void>;
}

type Keys = readonly SigningKey[] | 'secret_unreadable';

interface ProjectKeys {
  readonly keys: ByPattern<Keys>;
  /** What they were made of. */
  readonly records: readonly KeyRecord[];
}

const unsigned: readonly SigningKey[] = [];
const none: ProjectKeys = { keys: indexByPattern(new Map()), records: [] };
/** As long as a process may go on without the database, by its lease. */
const noneKeptMs = 4_000;
/** Up to so many projects with keys a process knows which: the others have none, and ask nothing. */
const projectsMax = 1_000;
const all: Pick<ReadonlySet<number>, 'has'> = { has: () => true };
/** What is of all projects is kept under this number, which none has. */
const everyProject = 0;

/**
 * First which projects have keys, then the keys of those that have; these are decrypted and parsed once,
 * not each time that they are read. A project that had none stays without for as long as the database
 * does not answer, up to the end of the lease, as a pause does; one that had any starts nothing then.
 *
 * Which projects have keys is a statement of 0.3 ms of CPU about twice a second, up to four times under
 * traffic, whatever is delivered for however many others; to ask for each of them would have been one for
 * nearly every attempt where each has one a second. It costs an idle process 1.4 ms of CPU a second beside
 * 14.3 (main thread, median of four pairs of 40 s on a busy machine, where they differ by 0.8).
 *
 * CPU in the process of an attempt by the deliverer alone, over a client that sends nothing, 6 interleaved
 * rounds of 100,000 with 120 bytes of body: before there were keys 3.5 µs, now without any 3.5, with a v1
 * key 9.7, a v1a key 69, five v1 keys 28.
 */
export function createSigningKeys(options: {
  store: SigningKeyStore;
  /** Undefined where the service has no keys to decrypt with. */
  box: SecretBox | undefined;
  clock: Pick<MachineClock, 'monotonicMs'>;
}): SigningKeys {
  const { store, box, clock } = options;
  const cache = createProjectCache<ProjectKeys>({ read, none, clock });
  const projects = createProjectCache({
    read: async () => new Map([[everyProject, (await store.projects(projectsMax)) ?? all]]),
    none: all,
    clock,
  });

  async function read(projectIds: readonly number[]): Promise<ReadonlyMap<number, ProjectKeys>> {
    const found = await store.records(projectIds);
    return new Map([...found].map(([id, records]) => [id, keysOf(id, records)] as const));
  }

  function keysOf(projectId: number, records: readonly KeyRecord[]): ProjectKeys {
    const before = cache.last(projectId)?.value;
    if (before !== undefined && areSame(before.records, records)) return before;
    const keys = new Map<string, Keys>();
    for (const { id, destination, record } of records) {
      const text = box?.open(signingKeyPlace(projectId, id), record);
      const key = text === undefined ? undefined : parseSigningSecret(text);
      const others = keys.get(destination) ?? [];
      const isReadable = key !== undefined && others !== 'secret_unreadable';
      keys.set(destination, isReadable ? [...others, key] : 'secret_unreadable');
    }
    return { keys: indexByPattern(keys), records };
  }

  /** Of what was known last, however the database is. */
  function hadNone(projectId: number, url: string): boolean {
    const [among, keys] = [projects.last(everyProject), cache.last(projectId)];
    if (among !== undefined && among.ageMs < noneKeptMs && !among.value.has(projectId)) return true;
    return (
      keys !== undefined && keys.ageMs < noneKeptMs && keys.value.keys.ofUrl(url) === undefined
    );
  }

  return {
    known(projectId, url) {
      const among = projects.known(everyProject);
      if (among?.has(projectId) === false) return unsigned;
      const known = among && cache.known(projectId);
      if (known === undefined) return undefined;
      const keys = known.keys.ofUrl(url) ?? unsigned;
      return keys === 'secret_unreadable' ? undefined : keys;
    },
    async read(projectId, url) {
      try {
        const among = await projects.fresh(everyProject);
        if (!among.has(projectId)) return unsigned;
        return (await cache.fresh(projectId)).keys.ofUrl(url) ?? unsigned;
      } catch (err) {
        if (hadNone(projectId, url)) return unsigned;
        throw err;
      }
    },
    refresh: () => projects.ask(everyProject),
  };
}

function areSame(one: readonly KeyRecord[], other: readonly KeyRecord[]): boolean {
  return one.length === other.length && one.every(({ record }, at) => record === other[at]?.record);
}
