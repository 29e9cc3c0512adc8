import type { MachineClock } from '../core/clock.ts';

/** The value of a named secret; null: there is one, and it cannot be decrypted. */
export type SecretValue = string | null;

/** Where secrets are read: without those that the project does not have. */
export interface SecretValueStore {
  values(
    projectId: number,
    names: readonly string[],
  ): Promise<readonly (readonly [name: string, value: SecretValue])[]>;
}

/** Named secrets by project and name, at most `keptMs` old. */
export interface SecretValues {
  /** Without those that the project does not have, which are looked for anew each time. */
  read(projectId: number, names: Iterable<string>): Promise<ReadonlyMap<string, SecretValue>>;
  /** Those of the names that the project does not have. */
  missing(projectId: number, names: readonly string[]): Promise<readonly string[]>;
}

interface Kept {
  /** Undefined: none of that name. */
  readonly value: Promise<SecretValue | undefined>;
  /** Before the database was asked. */
  readonly sinceMs: number;
}

/** A secret that is changed holds everywhere a second later: this, and what a statement takes. */
const keptMs = 900;
/** At 8 KiB of value each, 8 MiB. */
const keptMax = 1_000;

/** Whoever asks for the same one meanwhile gets the same answer: one statement, however many attempts. */
export function createSecretValues(options: {
  store: SecretValueStore;
  clock: Pick<MachineClock, 'monotonicMs'>;
}): SecretValues {
  const { store, clock } = options;
  const kept = new Map<string, Kept>();

  function ask(projectId: number, names: readonly string[], sinceMs: number): void {
    const found = store.values(projectId, names).then((rows) => new Map(rows));
    for (const name of names) {
      const key = keyOf(projectId, name);
      const entry: Kept = { value: found.then((values) => values.get(name)), sinceMs };
      const drop = () => {
        if (kept.get(key) === entry) kept.delete(key);
      };
      entry.value.then((value) => {
        if (value === undefined) drop();
      }, drop);
      kept.delete(key);
      kept.set(key, entry);
    }
    for (const key of kept.keys()) {
      if (kept.size <= keptMax) break;
      kept.delete(key);
    }
  }

  return {
    read,
    async missing(projectId, names) {
      let missing = names;
      // The first answer may be to a question from before one of them was set.
      for (let round = 1; round <= 2 && missing.length > 0; round++) {
        const found = await read(projectId, missing);
        missing = missing.filter((name) => !found.has(name));
      }
      return missing;
    },
  };

  async function read(
    projectId: number,
    names: Iterable<string>,
  ): Promise<ReadonlyMap<string, SecretValue>> {
    const nowMs = clock.monotonicMs();
    const wanted = [...names];
    const isKept = (name: string) => {
      const entry = kept.get(keyOf(projectId, name));
      return entry !== undefined && nowMs - entry.sinceMs < keptMs;
    };
    const missing = wanted.filter((name) => !isKept(name));
    if (missing.length > 0) ask(projectId, missing, nowMs);
    const entries = wanted.map((name) => [name, kept.get(keyOf(projectId, name))] as const);
    const values = await Promise.all(
      entries.map(async ([name, entry]) => [name, await entry?.value] as const),
    );
    return new Map(values.filter((pair): pair is [string, SecretValue] => pair[1] !== undefined));
  }
}

function keyOf(projectId: number, name: string): string {
  return `${projectId} ${name}`;
}
