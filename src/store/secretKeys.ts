import {
  createSecretBox,
  type SecretBox,
  type SecretKey,
  type SecretPlace,
} from '../core/secretBox.ts';
import type { Database } from './database.ts';
import { createSecretKeyFile, readSecretKeyFile } from './embedded/secretKeyFile.ts';

const proofText = 'belfry';
const proofPlace = (id: string): SecretPlace => ({ purpose: 'proof', projectId: 0, row: [id] });

const readKeys = {
  name: 'read_secret_keys',
  text: 'SELECT id, proof FROM belfry.secret_keys ORDER BY id',
};

const registerKey = {
  name: 'register_secret_key',
  text: `
INSERT INTO belfry.secret_keys (id, proof) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`,
};

const forgetKeys = {
  name: 'forget_secret_keys',
  text: 'DELETE FROM belfry.secret_keys WHERE id <> $1 RETURNING id',
};

/**
 * The box for what is kept encrypted; undefined without keys. Where the embedded database is used,
 * those of the file beside it decrypt as well, and one is made where there is none at all.
 * @throws Error when something in the database is under a key that is not there, or is another.
 */
export async function openSecretBox(options: {
  database: Database;
  configured: readonly SecretKey[] | undefined;
  /** Undefined for another database than the embedded one. */
  embeddedDataDir: string | undefined;
}): Promise<SecretBox | undefined> {
  const { database, configured = [], embeddedDataDir } = options;
  // First what is registered: another start may make its key meanwhile, in this order.
  const registered = await database.query<[id: string, proof: string]>(readKeys);
  const kept = embeddedDataDir === undefined ? [] : await readSecretKeyFile(embeddedDataDir);
  const found = [...configured, ...kept];
  assertOpens(found, registered);
  const keys =
    found.length === 0 && embeddedDataDir !== undefined
      ? await createSecretKeyFile(embeddedDataDir)
      : found;
  if (keys.length === 0) return undefined;
  const box = createSecretBox(keys);
  await registerSecretKey(database, box);
  // Another process may have come with another key of this id meanwhile.
  assertOpens(keys, await database.query<[id: string, proof: string]>(readKeys));
  return box;
}

/**
 * Notes that records under the first key come into the database. Before the first of them, and again
 * now and then: a rotation by a process with other keys may have struck it out.
 */
export async function registerSecretKey(database: Database, box: SecretBox): Promise<void> {
  const { keyId } = box;
  await database.query(registerKey, [keyId, box.seal(proofPlace(keyId), proofText)]);
}

/** Strikes out all keys but the first: nothing is under them any more. Resolves with their ids. */
export async function forgetOtherSecretKeys(database: Database, box: SecretBox): Promise<string[]> {
  const rows = await database.query<[string]>(forgetKeys, [box.keyId]);
  return rows.map(([id]) => id);
}

function assertOpens(
  keys: readonly SecretKey[],
  registered: readonly (readonly [id: string, proof: string])[],
): void {
  const missing = registered.filter(([id]) => !keys.some((key) => key.id === id));
  if (missing.length > 0) {
    const ids = missing.map(([id]) => id).join(', ');
    throw new Error(
      `secrets in the database are encrypted under ${ids}, which SECRET_KEYS has not: add it behind the others, or restore it`,
    );
  }
  if (keys.length === 0) return;
  const box = createSecretBox(keys);
  const wrong = registered.filter(([id, proof]) => box.open(proofPlace(id), proof) !== proofText);
  if (wrong.length > 0) {
    const ids = wrong.map(([id]) => id).join(', ');
    throw new Error(
      `secrets in the database are encrypted under another key than the one that SECRET_KEYS has as ${ids}: give a new key a new id`,
    );
  }
}
