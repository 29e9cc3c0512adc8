import type { Logger } from '../telemetry/log.ts';
import { createDatabase, type Database } from './database.ts';
import { readConnectionFile, startEmbeddedPostgres } from './embedded.ts';
import { migrate, readMigrations, schemaState } from './migrate.ts';
import { findRequestRole, prepareRequestRole } from './requestRole.ts';
import type { RequestIdentity } from './projectQuery.ts';
import { checkServer } from './serverCheck.ts';
import { lockService } from './serviceLock.ts';

/** Which database, as the settings say. */
export interface StoreSettings {
  /** Undefined for the embedded one. */
  readonly url: string | undefined;
  readonly directUrl: string | undefined;
  readonly transactionPooler: boolean;
  readonly statementTimeoutMs: number;
  readonly migrateOnStart: boolean;
  /** As which statements of one project run. */
  readonly requestRole: string;
  readonly dataDir: string;
}

export interface OpenStore {
  readonly url: string;
  /** Where LISTEN works; undefined behind a transaction pooler without a way past it. */
  readonly directUrl: string | undefined;
  /** Undefined when the embedded database is not used. */
  readonly embeddedDataDir: string | undefined;
  /** For `createDatabase`. */
  readonly requestIdentity: RequestIdentity;
}

/**
 * Makes the database ready for the service: starts the embedded one (and locks it to this service),
 * checks the server, brings the schema up to date. How to undo it is pushed onto `undo`.
 * @throws Error when the server cannot keep the promises, or the schema is not current.
 */
export async function openStore(
  options: StoreSettings & {
    log: Logger;
    signal: AbortSignal | undefined;
    undo: (() => Promise<unknown> | undefined | void)[];
  },
): Promise<OpenStore> {
  const { log, undo, signal, dataDir, transactionPooler, statementTimeoutMs } = options;
  let { url, directUrl } = options;
  let embeddedDataDir: string | undefined;
  if (url === undefined) {
    const embedded = await startEmbeddedPostgres({
      dataDir,
      log,
      ...(signal === undefined ? {} : { signal }),
    });
    // Until the lock is ours the server may be another service's.
    let leave = () => embedded.release();
    undo.push(() => leave());
    const lock = await lockService({ url: embedded.url, dataDir, log });
    leave = async () => {
      await lock.release();
      await embedded.stop();
    };
    url = embedded.url;
    directUrl = embedded.url;
    embeddedDataDir = embedded.dataDir;
  } else if (!transactionPooler) {
    directUrl ??= url;
  }

  const database = createDatabase({
    url: directUrl ?? url,
    transactionPooler: directUrl === undefined,
    connectionsMax: 1,
    statementTimeoutMs,
  });
  let requestIdentity: RequestIdentity;
  try {
    await checkServer(database);
    requestIdentity = await prepareSchema(database, options, log);
  } finally {
    await database.close();
  }
  return { url, directUrl, embeddedDataDir, requestIdentity };
}

/**
 * Brings the schema up to date and runs something on it, for commands. An embedded database is
 * attached to when it runs, otherwise started for the occasion.
 */
export async function withStore<Result>(
  options: StoreSettings & { log: Logger },
  run: (database: Database, applied: readonly string[]) => Promise<Result> | Result,
): Promise<Result> {
  const { log, dataDir, transactionPooler, statementTimeoutMs } = options;
  const running = options.url ?? (await readConnectionFile(dataDir))?.url;
  const embedded =
    running === undefined ? await startEmbeddedPostgres({ dataDir, log }) : undefined;
  const database = createDatabase({
    url: options.directUrl ?? running ?? embedded?.url ?? '',
    transactionPooler: transactionPooler && options.directUrl === undefined,
    connectionsMax: 1,
    statementTimeoutMs,
  });
  try {
    await checkServer(database);
    const applied = await migrate(database, await readMigrations());
    await prepareRequestRole(database, options.requestRole);
    return await run(database, applied);
  } finally {
    await database.close();
    await embedded?.stop();
  }
}

async function prepareSchema(
  database: Database,
  { migrateOnStart, requestRole }: Pick<StoreSettings, 'migrateOnStart' | 'requestRole'>,
  log: Logger,
): Promise<RequestIdentity> {
  const migrations = await readMigrations();
  if (migrateOnStart) {
    const applied = await migrate(database, migrations);
    if (applied.length > 0) log.info({ applied }, 'brought the schema up to date');
    return told(await prepareRequestRole(database, requestRole), requestRole, log);
  }
  const { current, applied, expected } = await schemaState(database, migrations);
  if (!current) {
    throw new Error(
      `the schema is at ${applied} and this version needs ${expected}: run "belfry migrate" first (MIGRATE_ON_START is false)`,
    );
  }
  return told(await findRequestRole(database, requestRole), requestRole, log);
}

function told(identity: RequestIdentity, requestRole: string, log: Logger): RequestIdentity {
  if (identity.setting !== 'role') {
    log.warn(
      `there is only one database role: this user may neither become ${requestRole} nor make it, so row-level security is forced upon it instead (docs/security.md)`,
    );
  }
  return identity;
}
