import type { Actor } from '../core/audit.ts';
import { keyIdOf, type SecretBox, type SecretPlace } from '../core/secretBox.ts';
import { auditOf, auditValues } from './auditLog.ts';
import type { Database } from './database.ts';

/** A named secret without its value. Instants in milliseconds of the Unix epoch. */
export interface StoredSecret {
  readonly name: string;
  /** The key of SECRET_KEYS that it is encrypted with. */
  readonly keyId: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

type SecretRow = readonly [name: string, box: string, createdAtMs: number, updatedAtMs: number];

const columns = 's.name, s.box, s.created_at, s.updated_at';

// Each by secrets_pkey. Created: whether this statement has made the row.
const setSecret = {
  name: 'set_secret',
  text: `
WITH s AS (
  INSERT INTO belfry.secrets AS s (project_id, name, box) VALUES ($1::bigint, $2, $3)
  ON CONFLICT (project_id, name) DO UPDATE SET box = excluded.box, updated_at = clock_timestamp()
  RETURNING s.*, xmax = 0 AS is_new
), ${auditOf('s', 4, { projectId: 's.project_id', target: 's.name' })}
SELECT ${columns}, s.is_new FROM s`,
};

const listSecrets = {
  name: 'list_secrets',
  text: `
SELECT ${columns} FROM belfry.secrets s WHERE s.project_id = $1::bigint ORDER BY s.name`,
};

const deleteSecret = {
  name: 'delete_secret',
  text: `
WITH s AS (
  DELETE FROM belfry.secrets s WHERE s.project_id = $1::bigint AND s.name = $2 RETURNING s.*
), ${auditOf('s', 3, { projectId: 's.project_id', target: 's.name' })}
SELECT ${columns} FROM s`,
};

const readSecrets = {
  name: 'read_secrets',
  text: `
SELECT s.name, s.box FROM belfry.secrets s WHERE s.project_id = $1::bigint AND s.name = ANY ($2::text[])`,
};

/** Named secrets of projects. Without a box none can be set or read, only listed and deleted. */
export function createSecretStore(database: Database, box: SecretBox | undefined) {
  return {
    /** Whether values can be kept. */
    isConfigured: box !== undefined,
    /** Creates or replaces. @throws Error without a box. */
    async set(
      secret: { readonly projectId: number; readonly name: string; readonly value: string },
      actor: Actor,
    ): Promise<{ readonly secret: StoredSecret; readonly isNew: boolean }> {
      if (box === undefined) throw new Error('there is no key for secrets');
      const { projectId, name, value } = secret;
      const sealed = box.seal(secretPlace(projectId, name), value);
      const audit = auditValues(actor, { action: 'secret.set', detail: {} });
      const rows = await database.query<readonly [...SecretRow, boolean]>(setSecret, [
        projectId,
        name,
        sealed,
        ...audit,
      ]);
      const [row] = rows;
      if (row === undefined) throw new Error('a secret was set and no row came back');
      const [rowName, record, createdAtMs, updatedAtMs, isNew] = row;
      return { secret: secretOf([rowName, record, createdAtMs, updatedAtMs]), isNew };
    },
    async list(projectId: number): Promise<StoredSecret[]> {
      const rows = await database.inProject(projectId).query<SecretRow>(listSecrets, [projectId]);
      return rows.map(secretOf);
    },
    /** Undefined when there is none of that name. */
    async delete(projectId: number, name: string, actor: Actor): Promise<StoredSecret | undefined> {
      const audit = auditValues(actor, { action: 'secret.delete', detail: {} });
      const [row] = await database.query<SecretRow>(deleteSecret, [projectId, name, ...audit]);
      return row === undefined ? undefined : secretOf(row);
    },
    /** Those that there are; null for a value that cannot be decrypted. */
    async values(
      projectId: number,
      names: readonly string[],
    ): Promise<(readonly [name: string, value: string | null])[]> {
      const rows = await database.query<[string, string]>(readSecrets, [projectId, names]);
      return rows.map(([name, record]) => [
        name,
        box?.open(secretPlace(projectId, name), record) ?? null,
      ]);
    },
  };
}

export type SecretStore = ReturnType<typeof createSecretStore>;

/** What the record of a named secret is bound to. */
export function secretPlace(projectId: number, name: string): SecretPlace {
  return { purpose: 'secret', projectId, row: [name] };
}

function secretOf([name, record, createdAtMs, updatedAtMs]: SecretRow): StoredSecret {
  return { name, keyId: keyIdOf(record) ?? '', createdAtMs, updatedAtMs };
}
