import type { Database } from './database.ts';

const oldestMajor = 14;

/**
 * Refuses a server that cannot keep the promises.
 * @throws Error when it is older than PostgreSQL 14, does not flush commits, or is read-only.
 */
export async function checkServer(database: Database): Promise<void> {
  const [row] = await database.query<[number, string, string, boolean]>({
    name: 'check_server',
    text: `
SELECT current_setting('server_version_num')::integer, current_setting('fsync'),
  current_setting('synchronous_commit'), pg_is_in_recovery()`,
  });
  const [versionNumber, fsync, synchronousCommit, isInRecovery] = row ?? [0, '', '', true];
  const major = Math.trunc(versionNumber / 10_000);
  if (major < oldestMajor) {
    throw new Error(`the database is PostgreSQL ${major}; Belfry needs ${oldestMajor} or later`);
  }
  if (fsync === 'off' || synchronousCommit === 'off') {
    throw new Error(
      `the database has fsync = ${fsync} and synchronous_commit = ${synchronousCommit}: a timer that was acknowledged could be lost in a crash, so both must be on`,
    );
  }
  if (isInRecovery) throw new Error('the database is a standby in recovery and takes no writes');
}
