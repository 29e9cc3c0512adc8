import type { MachineClock } from '../core/clock.ts';
import type { SecretBox } from '../core/secretBox.ts';
import { signingKeyPlace } from '../core/signingKey.ts';
import { parseSigningSecret, type SigningKey } from '../core/webhookSignature.ts';
import { createProjectCache } from './projectCache.ts';

interface KeyRecord {
  readonly id: string;
  readonly record: string;
}

/** Where signing keys are read: by project, without projects that have none. */
export interface SigningKeyStore {
  records(projectIds: readonly number[]): Promise<ReadonlyMap<number, readonly KeyRecord[]>>;
}

/** What signs the attempts of a project, at most about a second old. */
export interface SigningKeys {
  /** Undefined: they have to be read. */
  known(projectId: number): readonly SigningKey[] | undefined;
  /**
   * `secret_unreadable`: there are some, and not all of them can be decrypted: what is signed by the
   * others only would not be taken by all receivers. Rejects when the store cannot be asked.
   */
  read(projectId: number): Promise<readonly SigningKey[] | 'secret_unreadable'>;
}

interface ProjectKeys {
  readonly keys: readonly SigningKey[] | 'secret_unreadable';
  /** What they were made of. */
  readonly records: readonly KeyRecord[];
}

const none: ProjectKeys = { keys: [], records: [] };
/** As long as a process may go on without the database, by its lease. */
const noneKeptMs = 4_000;

/**
 * Keys are decrypted and parsed once, not each time that they are read. A project that had none stays
 * without for as long as the database does not answer, up to the end of the lease, as a pause does; one
 * that had any starts nothing then.
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

  async function read(projectIds: readonly number[]): Promise<ReadonlyMap<number, ProjectKeys>> {
    const found = await store.records(projectIds);
    return new Map([...found].map(([id, records]) => [id, keysOf(id, records)] as const));
  }

  function keysOf(projectId: number, records: readonly KeyRecord[]): ProjectKeys {
    const before = cache.last(projectId)?.value;
    if (before !== undefined && areSame(before.records, records)) return before;
    const keys: SigningKey[] = [];
    for (const { id, record } of records) {
      const text = box?.open(signingKeyPlace(projectId, id), record);
      const key = text === undefined ? undefined : parseSigningSecret(text);
      if (key === undefined) return { keys: 'secret_unreadable', records };
      keys.push(key);
    }
    return { keys, records };
  }

  return {
    known(projectId) {
      const keys = cache.known(projectId)?.keys;
      return keys === 'secret_unreadable' ? undefined : keys;
    },
    async read(projectId) {
      try {
        return (await cache.fresh(projectId)).keys;
      } catch (err) {
        const last = cache.last(projectId);
        if (last?.value === none && last.ageMs < noneKeptMs) return none.keys;
        throw err;
      }
    },
  };
}

function areSame(one: readonly KeyRecord[], other: readonly KeyRecord[]): boolean {
  return one.length === other.length && one.every(({ record }, at) => record === other[at]?.record);
}
