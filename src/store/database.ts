import pg from 'pg';
import { BelfryError } from '../core/errors.ts';
import {
  createProjectQueries,
  defaultRequestRole,
  requestRole,
  type RequestIdentity,
} from './projectQuery.ts';
import { takeRows } from './takeRows.ts';

/** One SQL statement, named after the function that runs it; named ones are prepared once. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export interface DatabaseOptions {
  readonly url: string;
  /** Behind PgBouncer in transaction mode: no named statements, no start-up parameters. */
  readonly transactionPooler: boolean;
  readonly connectionsMax: number;
  /** A statement is given up on the server after this, and on our side a second later. */
  readonly statementTimeoutMs: number;
  /** Server settings of these connections over our own, by name. */
  readonly settings?: Readonly<Record<string, string>>;
  /** What `inProject` runs as; see `prepareRequestRole`. */
  readonly requestIdentity?: RequestIdentity;
}

/**
 * A pool of connections. `query` is one statement, committed by itself.
 *
 * What a caller may conclude from an error: `store_unavailable` – nothing was changed;
 * `commit_unknown` – the connection was lost or timed out after the statement was sent, so it may
 * have been committed; a driver's DatabaseError – the server refused it, nothing was changed.
 */
export interface Database {
  query<Row extends readonly unknown[]>(
    statement: Statement,
    values?: readonly unknown[],
  ): Promise<Row[]>;
  /**
   * For statements that answer one caller's question: to them there are the rows of this project
   * alone, whatever they ask, and nothing to change.
   */
  inProject(projectId: number): Pick<Database, 'query'>;
  /** Runs several statements on one connection; the caller writes BEGIN and COMMIT. */
  session<Result>(run: (client: pg.ClientBase) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

const connectTimeoutMs = 5_000;
const lockTimeoutMs = 5_000;
const answerGraceMs = 1_000;

// Rows are to be found, and to come in their order, by an index, whatever is believed of the table. A plan is kept
// until the table is analysed: one of when it had a page or two read all of it, for each batch of the next
// 100,000 timers (a claim of 500 took 0.8 s, outcomes of 157 took 2.3), and so did a fresh one where it had been
// empty when it was analysed. Compiling would follow wherever there is nothing but to read or to sort all.
const plannerSettings = [
  'enable_seqscan',
  'enable_sort',
  'enable_incremental_sort',
  // Reads an index from end to end for its order.
  'enable_mergejoin',
  'jit',
].map((name) => `-c ${name}=off`);

const types = new pg.TypeOverrides();
// int8: ids, owners and claims are all below 2^53.
types.setTypeParser(pg.types.builtins.INT8, Number);
types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, instantMs);

export function createDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    ...connectionConfig(options),
    max: options.connectionsMax,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: 60_000,
  });
  // A connection that dies while idle is dropped by the pool, one that dies in use fails its
  // query: the events carry nothing more, but without a listener they would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));

  // A pooler takes no settings with a connection, and another's transaction must not find ours.
  const localSettings = options.transactionPooler
    ? Object.entries(options.settings ?? {})
        .map(([name, value]) => `SET LOCAL ${name} = '${value}'`)
        .join('; ')
    : '';

  const projectQueries = createProjectQueries({
    identity: options.requestIdentity ?? requestRole(defaultRequestRole),
    settings: options.transactionPooler ? (options.settings ?? {}) : {},
    named: !options.transactionPooler,
  });

  function configOf({ name, text }: Statement, values: readonly unknown[]) {
    return { text, values: [...values], ...(options.transactionPooler ? {} : { name }) };
  }

  async function checkedOut<Result>(
    what: string,
    run: (client: pg.PoolClient) => Promise<Result>,
  ): Promise<Result> {
    let client: pg.PoolClient;
    try {
      client = await pool.connect();
    } catch (err) {
      throw unavailable('no connection to the database', err);
    }
    let broken: Error | boolean = false;
    try {
      return await run(client);
    } catch (err) {
      const failure = storeFailure(what, err);
      // After a refused statement the connection is as good as before; after a loss it is not.
      broken = failure instanceof BelfryError ? failure : false;
      throw failure;
    } finally {
      client.release(broken);
    }
  }

  return {
    query: <Row extends readonly unknown[]>(
      statement: Statement,
      values: readonly unknown[] = [],
    ) =>
      checkedOut(statement.name, async (client) => {
        const run = () => ask<Row>(client, configOf(statement, values));
        return localSettings === '' ? run() : withLocal(client, localSettings, run);
      }),
    inProject: (projectId) => ({
      query: <Row extends readonly unknown[]>(
        statement: Statement,
        values: readonly unknown[] = [],
      ) =>
        checkedOut(statement.name, (client) =>
          projectQueries.run<Row>(client, projectId, configOf(statement, values)),
        ),
    }),
    session: (run) =>
      checkedOut('session', async (client) => {
        try {
          return await run(client);
        } catch (err) {
          await client.query('ROLLBACK').catch(() => undefined);
          throw err;
        }
      }),
    close: () => pool.end(),
  };
}

async function ask<Row>(
  client: pg.ClientBase,
  config: pg.QueryConfig & { values: unknown[] },
): Promise<Row[]> {
  try {
    return takeRows(await client.query<Row & unknown[]>({ ...config, rowMode: 'array' }));
  } finally {
    // For the same reason as the rows.
    config.values.length = 0;
  }
}

async function withLocal<Result>(
  client: pg.ClientBase,
  settings: string,
  run: () => Promise<Result>,
): Promise<Result> {
  await client.query(`BEGIN; ${settings}`);
  try {
    const result = await run();
    await client.query('COMMIT');
    return result;
  } catch (err) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw err;
  }
}

/** The driver's settings for one connection, shared by the pool and single connections. */
export function connectionConfig(
  options: Pick<DatabaseOptions, 'url' | 'transactionPooler' | 'statementTimeoutMs' | 'settings'>,
): pg.ClientConfig {
  return {
    connectionString: options.url,
    application_name: 'belfry',
    keepAlive: true,
    query_timeout: options.statementTimeoutMs + answerGraceMs,
    types,
    ...(options.transactionPooler
      ? {}
      : {
          options: [
            `-c statement_timeout=${options.statementTimeoutMs}`,
            `-c lock_timeout=${lockTimeoutMs}`,
            '-c idle_in_transaction_session_timeout=30000',
            '-c timezone=UTC',
            '-c datestyle=ISO',
            String.raw`-c default_transaction_isolation=read\ committed`,
            ...plannerSettings,
            ...Object.entries(options.settings ?? {}).map(([name, value]) => `-c ${name}=${value}`),
          ].join(' '),
        }),
  };
}

/** The server's verdict on a statement, when it gave one that leaves nothing changed. */
export function refusal(err: unknown): pg.DatabaseError | undefined {
  // By the SQLSTATE: the severity comes in the server's language. Classes 08 and 57P (and 25P03, a
  // session ended for idling) end the connection, perhaps after the commit.
  if (!(err instanceof pg.DatabaseError)) return undefined;
  return /^(?:08|57P|25P03)/.test(err.code ?? '08') ? undefined : err;
}

/** Whether the same statement may succeed at once: deadlock or serialisation failure. */
export function isRetryableRefusal(err: unknown): boolean {
  const code = refusal(err)?.code;
  return code === '40P01' || code === '40001';
}

/** Whether a lock was not to be had within `lock_timeout`, or at once with NOWAIT. */
export function isLockTimeout(err: unknown): boolean {
  return refusal(err instanceof BelfryError ? err.cause : err)?.code === '55P03';
}

function storeFailure(what: string, err: unknown): unknown {
  if (err instanceof BelfryError) return err;
  const refused = refusal(err);
  if (refused !== undefined) {
    return isOutage(refused.code ?? '') ? unavailable(`${what} was not run`, err) : err;
  }
  return new BelfryError('commit_unknown', `${what}: connection lost, ${messageOf(err)}`, {
    cause: err,
  });
}

/** Refusals that say "not now" and not "not this": full, timed out, read-only after a failover. */
function isOutage(code: string): boolean {
  return code.startsWith('53') || ['57014', '55P03', '25006'].includes(code);
}

function unavailable(what: string, err: unknown): BelfryError {
  return new BelfryError('store_unavailable', `${what}: ${messageOf(err)}`, { cause: err });
}

function messageOf(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}

/**
 * Reads `2026-11-23 17:33:00.123456+00` (any offset) into milliseconds with fractions; infinities are
 * those of numbers.
 */
function instantMs(text: string): number {
  const match =
    /^(\d{4,6})(-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d)(?::?(\d\d))?(?::\d\d)?( BC)?$/.exec(
      text,
    );
  if (match === null) {
    if (text === 'infinity') return Infinity;
    if (text === '-infinity') return -Infinity;
    throw new Error(`not an instant: ${text}`);
  }
  const [, spelt = '', day = '', time = '', fraction = '', hours = '', minutes = '00', era] = match;
  const year = era === undefined ? Number(spelt) : 1 - Number(spelt);
  const ms = Date.parse(`${isoYear(year)}${day}T${time}${hours}:${minutes}`);
  // PostgreSQL's calendar goes on where that of JavaScript ends.
  return Number.isNaN(ms) ? Infinity : ms + Number(`0${fraction}`) * 1_000;
}

/** ISO 8601 has the year 0 for 1 BC, and a sign and six digits for those that four do not hold. */
function isoYear(year: number): string {
  if (year >= 0 && year <= 9_999) return String(year).padStart(4, '0');
  return `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`;
}
