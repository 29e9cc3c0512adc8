import { randomBytes } from 'node:crypto';
import { dayMs, type Retention } from '../../src/core/partitionPlan.ts';
import { createDatabase, type Database } from '../../src/store/database.ts';
import { ensurePartitions, readPartitions } from '../../src/store/partitions.ts';

/** What the settings say when nothing is set. */
export const defaultRetention: Retention = { historyMs: 30 * dayMs, failedMs: 90 * dayMs };

export const templateName = 'belfry_template';

/** A database of its own for one test file, cloned from the migrated template. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
  readonly database: Database;
}

/**
 * `empty`: without the schema. `preparedToday`: with the partitions of a service that first starts now,
 * for tests that count days: the template may be of yesterday when a run of the suite passes midnight.
 * Disposing fails when a test left a connection open.
 */
export async function createTestDatabase(
  options: { empty?: boolean; preparedToday?: boolean } = {},
): Promise<TestDatabase> {
  const serverUrl = testServerUrl();
  const name = `test_${randomBytes(6).toString('hex')}`;
  const url = databaseUrl(serverUrl, name);
  const template = options.empty === true ? 'template0' : templateName;
  await administer(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  const database = openDatabase(url);
  if (options.preparedToday === true) await prepareToday(database);
  return {
    url,
    database,
    async [Symbol.asyncDispose]() {
      await database.close();
      const left = await connectionsTo(name);
      await administer(`DROP DATABASE ${name} WITH (FORCE)`);
      if (left > 0) throw new Error(`${left} connections to the database were left open`);
    },
  };
}

async function prepareToday(database: Database): Promise<void> {
  const { partitions } = await readPartitions(database);
  for (const { name } of partitions) await sql(database, `DROP TABLE belfry.${name}`);
  await ensurePartitions(database, defaultRetention);
}

export function openDatabase(url: string, statementTimeoutMs = 10_000): Database {
  return createDatabase({
    url,
    transactionPooler: false,
    connectionsMax: 6,
    statementTimeoutMs,
  });
}

/** Runs one statement and gives its rows. */
export function sql<Row extends readonly unknown[]>(
  database: Database,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  return database.query<Row>({ name: '', text }, values);
}

export function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

export function testServerUrl(): string {
  const url = process.env['BELFRY_TEST_DATABASE_URL'];
  if (url === undefined) throw new Error('start tests with: node test/run.ts <file>');
  return url;
}

async function administer(text: string): Promise<void> {
  const admin = openDatabase(testServerUrl());
  try {
    await sql(admin, text);
  } finally {
    await admin.close();
  }
}

async function connectionsTo(name: string): Promise<number> {
  const admin = openDatabase(testServerUrl());
  try {
    // A connection that was just closed may still be on its way out.
    for (let tries = 0; ; tries++) {
      const [row] = await sql<[number]>(
        admin,
        'SELECT count(*) FROM pg_stat_activity WHERE datname = $1',
        [name],
      );
      if (row?.[0] === 0 || tries === 50) return row?.[0] ?? 0;
      await sql(admin, 'SELECT pg_sleep(0.02)');
    }
  } finally {
    await admin.close();
  }
}
