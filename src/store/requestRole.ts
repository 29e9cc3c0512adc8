import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { refusal, type Database } from './database.ts';
import { lockMigrations } from './migrate.ts';
import { markedRequest, requestRole, type RequestIdentity } from './projectQuery.ts';

/** All that statements of one project may do: read, and of these tables. */
const readable: Readonly<Record<string, readonly string[] | null>> = {
  attempts: null,
  audit_log: null,
  destinations: null,
  history: null,
  history_done: null,
  history_failed: null,
  lanes: null,
  processes: ['id', 'expires_at'],
  projects: null,
  secrets: null,
  // But for the secret.
  signing_keys: [
    'project_id',
    'id',
    'destination',
    'scheme',
    'public_text',
    'created_at',
    'retires_at',
  ],
  timer_labels: null,
  timers: null,
  // But for the hash.
  tokens: [
    'id',
    'project_id',
    'name',
    'scopes',
    'created_at',
    'expires_at',
    'revoked_at',
    'last_used_at',
    'rate',
  ],
};

const triesMax = 5;
const againMs = 50;

/**
 * Makes the role under which statements of one project run, unless it is there: it is the cluster's,
 * and several databases may want it at once. Grants it what it needs. Where it is not to be had (nobody
 * made it, and this user may not), row-level security is forced upon the owner instead.
 * Under the lock of migrations, safe for several processes at once.
 */
export async function prepareRequestRole(
  database: Database,
  name: string,
): Promise<RequestIdentity> {
  const hasRole = await obtainRole(database, name);
  await database.session(async (client) => {
    await lockMigrations(client);
    if (hasRole) await grantMissing(client, name);
    await force(client, !hasRole);
    await client.query('COMMIT');
  });
  return hasRole ? requestRole(name) : markedRequest;
}

/**
 * The same, of what was prepared before.
 * @throws Error when that was not done.
 */
export async function findRequestRole(database: Database, name: string): Promise<RequestIdentity> {
  if (await mayBecome(database, name)) return requestRole(name);
  const [row] = await database.query<[boolean]>({
    name: 'is_row_security_forced',
    text: `
SELECT bool_and(relforcerowsecurity) FROM pg_class
WHERE relnamespace = 'belfry'::regnamespace AND relrowsecurity`,
  });
  if (row?.[0] === true) return markedRequest;
  throw new Error(
    `this user may not become ${name}, and row-level security is not forced upon it: run "belfry migrate" first (MIGRATE_ON_START is false)`,
  );
}

async function obtainRole(database: Database, name: string): Promise<boolean> {
  for (let tries = 1; ; tries++) {
    if (await mayBecome(database, name)) return true;
    if (tries === triesMax) return false;
    const role = pg.escapeIdentifier(name);
    const isMade = await isDone(database, `CREATE ROLE ${role} NOLOGIN`);
    const isOurs = await isDone(database, `GRANT ${role} TO CURRENT_USER`);
    if (!isMade && !isOurs) await sleep(againMs * Math.random());
  }
}

async function mayBecome(database: Database, name: string): Promise<boolean> {
  try {
    await database.session(async (client) => {
      await client.query('BEGIN');
      await client.query(`SET LOCAL ROLE ${pg.escapeIdentifier(name)}`);
      await client.query('ROLLBACK');
    });
    return true;
  } catch (err) {
    if (refusal(err) === undefined) throw err;
    return false;
  }
}

/** False when it was refused: not allowed, or somebody else does it just now. */
async function isDone(database: Database, text: string): Promise<boolean> {
  try {
    await database.query({ name: '', text });
    return true;
  } catch (err) {
    if (refusal(err) === undefined) throw err;
    return false;
  }
}

async function grantMissing(client: pg.ClientBase, name: string): Promise<void> {
  const checks = Object.entries(readable).map(([table, columns]) =>
    columns === null
      ? `has_table_privilege($1, 'belfry.${table}', 'SELECT')`
      : columns
          .map((c) => `has_column_privilege($1, 'belfry.${table}', '${c}', 'SELECT')`)
          .join(' AND '),
  );
  const { rows } = await client.query<{ complete: boolean }>(
    `SELECT has_schema_privilege($1, 'belfry', 'USAGE') AND ${checks.join(' AND ')} AS complete`,
    [name],
  );
  if (rows[0]?.complete === true) return;
  const role = pg.escapeIdentifier(name);
  await client.query(`GRANT USAGE ON SCHEMA belfry TO ${role}`);
  for (const [table, columns] of Object.entries(readable)) {
    const what = columns === null ? 'SELECT' : `SELECT (${columns.join(', ')})`;
    await client.query(`GRANT ${what} ON belfry.${table} TO ${role}`);
  }
}

async function force(client: pg.ClientBase, forced: boolean): Promise<void> {
  const { rows } = await client.query<{ kept: string }>(
    `SELECT oid::regclass::text AS kept FROM pg_class
     WHERE relnamespace = 'belfry'::regnamespace AND relrowsecurity AND relforcerowsecurity <> $1
     ORDER BY relname`,
    [forced],
  );
  for (const { kept } of rows) {
    await client.query(`ALTER TABLE ${kept} ${forced ? '' : 'NO '}FORCE ROW LEVEL SECURITY`);
  }
}
