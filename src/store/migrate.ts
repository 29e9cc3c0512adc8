import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type pg from 'pg';
import type { Database } from './database.ts';

/** One forward-only SQL file of `sql/`. `breaking` ones must not be run under older code. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly text: string;
  readonly breaking: boolean;
  readonly checksum: string;
}

export interface SchemaState {
  readonly current: boolean;
  readonly applied: number;
  readonly expected: number;
}

// Any constant will do as long as it stays: it names the lock that settles two migrations at once.
const migrationLock = 4_714_632_005;

const sqlDirectories = [
  new URL('../../sql/', import.meta.url),
  new URL('../../../sql/', import.meta.url),
];

/** Reads the migrations, in order. A file that starts with `-- breaking` is a breaking one. */
export async function readMigrations(): Promise<Migration[]> {
  for (const directory of sqlDirectories) {
    const names = await readdir(directory).catch(() => []);
    const files = names.filter((name) => /^\d{6}_\w+\.sql$/.test(name)).sort();
    if (files.length === 0) continue;
    return Promise.all(
      files.map(async (name) => {
        const text = await readFile(new URL(name, directory), 'utf8');
        return {
          version: Number(name.slice(0, 6)),
          name: name.slice(7, -4),
          text,
          breaking: text.startsWith('-- breaking'),
          checksum: createHash('sha256').update(text).digest('hex').slice(0, 16),
        };
      }),
    );
  }
  throw new Error('the sql/ directory with the migrations is missing');
}

/**
 * Brings the schema up to date, each migration in a transaction of its own under one lock, so two
 * processes may start at once. Resolves with the names of those that this call applied.
 * @throws Error when the database has a breaking migration that this code does not know, or when a
 *   migration that was applied has been changed since.
 */
export async function migrate(
  database: Database,
  migrations: readonly Migration[],
): Promise<string[]> {
  // An error thrown inside the session would read as a lost connection.
  const { applied, objection } = await database.session((client) => apply(client, migrations));
  if (objection !== undefined) throw new Error(objection);
  return applied;
}

async function apply(
  client: pg.ClientBase,
  migrations: readonly Migration[],
): Promise<{ applied: string[]; objection: string | undefined }> {
  const applied: string[] = [];
  for (const migration of migrations) {
    await lockMigrations(client);
    await prepareSchema(client);
    const checksum = await appliedChecksum(client, migration);
    if (checksum === undefined) {
      await client.query(migration.text);
      await client.query(
        `INSERT INTO belfry.schema_migrations (version, name, breaking, checksum)
         VALUES ($1, $2, $3, $4)`,
        [migration.version, migration.name, migration.breaking, migration.checksum],
      );
      applied.push(migration.name);
    }
    await client.query('COMMIT');
    if (checksum !== undefined && checksum !== migration.checksum) {
      const objection = `migration ${migration.version} (${migration.name}) was changed after it had been applied`;
      return { applied, objection };
    }
  }
  const stranger = await unknownBreaking(client, migrations);
  const objection =
    stranger === undefined
      ? undefined
      : `the database has migration ${stranger}, which this version of Belfry does not know and must not run with: upgrade Belfry`;
  return { applied, objection };
}

/** Begins a transaction that has time, and in which nobody else changes the schema. */
export async function lockMigrations(client: pg.ClientBase): Promise<void> {
  await client.query('BEGIN');
  // The lock ends with the transaction, which also holds behind a transaction pooler.
  await client.query("SELECT set_config('lock_timeout', '60s', true)");
  await client.query("SELECT set_config('statement_timeout', '0', true)");
  await client.query(`SELECT pg_advisory_xact_lock(${migrationLock})`);
}

/** Compares the schema with what this code expects; a newer, not breaking one counts as current. */
export async function schemaState(
  database: Database,
  migrations: readonly Migration[],
): Promise<SchemaState> {
  const expected = migrations.at(-1)?.version ?? 0;
  const [exists] = await database.query<[boolean]>({
    name: 'has_schema',
    text: `SELECT to_regclass('belfry.schema_migrations') IS NOT NULL`,
  });
  if (exists?.[0] !== true) return { current: false, applied: 0, expected };
  const [row] = await database.query<[number, boolean]>(
    {
      name: 'schema_state',
      text: `
SELECT coalesce(max(version), 0), coalesce(bool_or(breaking AND version > $1::integer), false)
FROM belfry.schema_migrations`,
    },
    [expected],
  );
  const [applied, tooNew] = row ?? [0, false];
  return { current: applied >= expected && !tooNew, applied, expected };
}

async function prepareSchema(client: pg.ClientBase): Promise<void> {
  await client.query('CREATE SCHEMA IF NOT EXISTS belfry');
  await client.query(`
    CREATE TABLE IF NOT EXISTS belfry.schema_migrations (
      version integer PRIMARY KEY,
      name text NOT NULL,
      breaking boolean NOT NULL,
      checksum text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`);
}

/** Undefined when the migration has not been applied. */
async function appliedChecksum(
  client: pg.ClientBase,
  migration: Migration,
): Promise<string | undefined> {
  const { rows } = await client.query<{ checksum: string }>(
    'SELECT checksum FROM belfry.schema_migrations WHERE version = $1',
    [migration.version],
  );
  return rows[0]?.checksum;
}

async function unknownBreaking(
  client: pg.ClientBase,
  migrations: readonly Migration[],
): Promise<number | undefined> {
  const { rows } = await client.query<{ version: number }>(
    'SELECT version FROM belfry.schema_migrations WHERE breaking AND version > $1 LIMIT 1',
    [migrations.at(-1)?.version ?? 0],
  );
  return rows[0]?.version;
}
