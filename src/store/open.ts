import type { Logger } from '../telemetry/log.ts';
import { createDatabase, type Database } from './database.ts';
import { readConnectionFile, startEmbeddedPostgres } from './embedded.ts';
import { migrate, readMigrations, schemaState } from './migrate.ts';
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
  readonly dataDir: string;
}

export interface OpenStore {
  readonly url: string;
  /** Where LISTEN works; undefined behind a transaction pooler without a way past it. */
  readonly directUrl: string | undefined;
  /** Undefined when the embedded database is not used. */
  readonly embeddedDataDir: string | undefined;
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
  try {
    await checkServer(database);
    await prepareSchema(database, options.migrateOnStart, log);
  } finally {
    await database.close();
  }
  return { url, directUrl, embeddedDataDir };
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
    return await run(database, await migrate(database, await readMigrations()));
  } finally {
    await database.close();
    await embedded?.stop();
  }
}

async function prepareSchema(
  database: Database,
  migrateOnStart: boolean,
  log: Logger,
): Promise<void> {
  const migrations = await readMigrations();
  if (migrateOnStart) {
    const applied = await migrate(database, migrations);
    if (applied.length > 0) log.info({ applied }, 'brought the schema up to date');
    return;
  }
  const { current, applied, expected } = await schemaState(database, migrations);
  if (!current) {
    throw new Error(
      `the schema is at ${applied} and this version needs ${expected}: run "belfry migrate" first (MIGRATE_ON_START is false)`,
    );
  }
}
