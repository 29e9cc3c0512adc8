import { isIP } from 'node:net';
import { logLevels, type LogLevel } from './telemetry/log.ts';
import type { RetryPolicy } from './core/retryPolicy.ts';
import * as take from './core/settingParsers.ts';
import type { AllowedTarget, SettingParser } from './core/settingParsers.ts';

/** How Belfry runs: `dev` is for trying it on one's own machine, `serve` is production. */
export type RunMode = 'dev' | 'serve';

export const roles = ['api', 'scheduler'] as const;
export type Role = (typeof roles)[number];

/** One setting of the environment. */
export interface Setting<Value> {
  readonly parser: SettingParser<Value>;
  /** The value when it is not set, as text of the environment; null when it has none. */
  readonly fallback: string | null;
  /** The same for `belfry dev`, where it differs. */
  readonly devFallback?: string;
  readonly about: string;
  /** Its value is not shown in messages. */
  readonly secret?: boolean;
}

function setting<Value>(
  parser: SettingParser<Value>,
  fallback: string,
  about: string,
  more: { devFallback?: string; secret?: boolean } = {},
): Setting<Value> {
  return { parser, fallback, about, ...more };
}

function optional<Value>(
  parser: SettingParser<Value>,
  about: string,
  more: { secret?: boolean } = {},
): Setting<Value | undefined> {
  return { parser, fallback: null, about, ...more };
}

const seconds = 'seconds';

type SettingTable = Readonly<Record<string, Setting<unknown>>>;

const processSettings = {
  ROLES: setting(
    take.listOf(roles),
    'api,scheduler',
    'What this process does: `api` takes requests, `scheduler` fires timers.',
  ),
  LOG_LEVEL: setting(take.oneOf(logLevels), 'info', 'Least severe lines that are logged.'),
  SHUTDOWN_TIMEOUT: setting(
    take.decimal(0, 3_600, seconds),
    '20',
    'Seconds that a stopping process waits for attempts under way.',
  ),
} as const satisfies SettingTable;

const apiSettings = {
  HOST: setting(take.hostName, '127.0.0.1', 'Address on which the API listens.'),
  PORT: setting(take.wholeNumber(0, 65_535), '5000', 'Port of the API; 0 takes any free one.'),
  ALLOW_UNAUTHENTICATED: setting(
    take.trueOrFalse,
    'false',
    'Lets HOST be other than a loopback address although the API asks nobody for credentials.',
  ),
  APP_DOMAIN: optional(
    take.hostName,
    'Public host name of this service. Timers that target it are refused.',
  ),
  MAX_BODY_BYTES: setting(
    take.wholeNumber(1_024, 64 * 1_024 * 1_024),
    '1048576',
    'Largest request body that the API takes, in bytes.',
  ),
  MAX_BATCH_BYTES: setting(
    take.wholeNumber(1_024, 1_024 * 1_024 * 1_024),
    '33554432',
    'Largest JSON array of timers that `POST /timers/batch` takes, in bytes. Lines have no such bound.',
  ),
  MAX_URL_LENGTH: setting(
    take.wholeNumber(10, 8_000),
    '200',
    'Longest `url` of a timer, in characters.',
  ),
  IDEMPOTENCY_WINDOW: setting(
    take.decimal(1, 31_536_000, seconds),
    '86400',
    'Seconds for which the same request under the same Idempotency-Key gets its first answer again.',
  ),
} as const satisfies SettingTable;

const databaseSettings = {
  DATABASE_URL: optional(
    take.postgresUrl,
    'PostgreSQL 14 or later. Unset (and no POSTGRES_HOST either): the embedded one.',
    { secret: true },
  ),
  POSTGRES_HOST: optional(take.databaseHost, 'Host of the database, in place of DATABASE_URL.'),
  POSTGRES_PORT: setting(take.wholeNumber(1, 65_535), '5432', 'Its port.'),
  POSTGRES_DB: setting(take.anyText, 'belfry', 'Its name.'),
  POSTGRES_USER: setting(take.anyText, 'belfry', 'Its user.'),
  POSTGRES_PASSWORD: optional(take.anyText, "That user's password.", { secret: true }),
  DATABASE_POOLER: setting(
    take.oneOf(['none', 'transaction']),
    'none',
    '`transaction` when DATABASE_URL leads to PgBouncer in transaction mode: prepared statements and start-up parameters are then left out.',
  ),
  DATABASE_DIRECT_URL: optional(
    take.postgresUrl,
    'The same database past the pooler, for migrations and for listening. Without it, behind a pooler, near timers of other processes are found by looking about every second.',
    { secret: true },
  ),
  DATABASE_POOL_SIZE: setting(
    take.wholeNumber(4, 200),
    '10',
    'Connections to the database that a process opens at the most, beside one for its heartbeat, one to listen and three for lists.',
  ),
  DATABASE_STATEMENT_TIMEOUT: setting(
    take.decimal(1, 600, seconds),
    '10',
    'Seconds after which a statement is given up.',
  ),
  MIGRATE_ON_START: setting(
    take.trueOrFalse,
    'true',
    'Brings the schema up to date at start. `false`: run `belfry migrate` before.',
  ),
  DATA_DIR: setting(take.anyText, '.belfry', 'Directory of the embedded PostgreSQL.'),
} as const satisfies SettingTable;

const deliverySettings = {
  WEBHOOK_TIMEOUT: setting(
    take.decimal(0.001, Infinity, seconds),
    '3',
    'Seconds that an attempt may take in all: connecting, sending, and the whole response.',
  ),
  MAX_TIMEOUT: setting(
    take.decimal(0.001, 86_400, seconds),
    '900',
    'Largest `timeout` that a timer may ask for in place of WEBHOOK_TIMEOUT, in seconds.',
  ),
  ALLOW_REDIRECTS: setting(
    take.trueOrFalse,
    'false',
    'Follows up to 5 redirects. Otherwise a redirect is a failed attempt.',
  ),
  ALLOW_TARGETS: setting(
    take.targetList,
    '',
    'Hosts, host:port or CIDR ranges that deliveries may reach although they are not public: by default loopback, private, link-local and other special addresses are refused.',
    { devFallback: 'localhost,127.0.0.0/8,::1' },
  ),
  CONCURRENCY: setting(
    take.wholeNumber(1, 10_000),
    '1000',
    'Attempts under way in this process at the most.',
  ),
  DESTINATION_CONCURRENCY: setting(
    take.wholeNumber(1, 1_000),
    '100',
    'Attempts under way in this process to one destination (scheme, host and port) at the most.',
  ),
} as const satisfies SettingTable;

const retrySettings = {
  RETRY_MAX_ATTEMPTS: setting(
    take.wholeNumber(1, 100),
    '5',
    'Attempts of a timer in all, the first included.',
  ),
  RETRY_BASE: setting(
    take.decimal(0.001, 86_400, seconds),
    '5',
    'Seconds before the second attempt.',
  ),
  RETRY_FACTOR: setting(
    take.decimal(1, 100),
    '4',
    'Each further wait is so many times the one before.',
  ),
  RETRY_CAP: setting(
    take.decimal(0.001, 31_536_000, seconds),
    '21600',
    'Seconds that no wait exceeds (before jitter).',
  ),
  RETRY_JITTER: setting(
    take.decimal(0, 1),
    '0.2',
    'Share by which each wait is spread at random, both ways.',
  ),
  RETRY_MAX_AGE: optional(
    take.decimal(0, 3_155_760_000, seconds),
    'Seconds after a timer was due from which on it is not tried again. Unset: no such bound.',
  ),
} as const satisfies SettingTable;

const schedulerSettings = {
  LOOK_AHEAD: setting(
    take.decimal(0.1, 60, seconds),
    '1',
    'Seconds before they are due that timers are claimed.',
  ),
  HEARTBEAT_TTL: setting(
    take.decimal(1, 300, seconds),
    '5',
    'Seconds after which the timers of a process that shows no life are taken over.',
  ),
  HELD_TIMERS_MAX: setting(
    take.wholeNumber(1_000, 1_000_000),
    '4096',
    'Timers that a process holds claimed at the most (and at most 32 MiB of them).',
  ),
  CATCH_UP_RATE: optional(
    take.decimal(0.1, 1_000_000),
    'Overdue timers per second that a process takes up after an outage. Unset: as fast as the receivers allow.',
  ),
} as const satisfies SettingTable;

const brokerSettings = {
  BROKER_CONNECTION: optional(
    take.anyText,
    'Accepted, not used yet: where due work will be handed over to a broker.',
    { secret: true },
  ),
} as const satisfies SettingTable;

/** All settings as the settings page shows them; it is made from these tables. */
export const settingGroups: readonly { readonly title: string; readonly table: SettingTable }[] = [
  { title: 'The process', table: processSettings },
  { title: 'The API', table: apiSettings },
  { title: 'The database', table: databaseSettings },
  { title: 'Delivery', table: deliverySettings },
  { title: 'Retries', table: retrySettings },
  { title: 'The scheduler', table: schedulerSettings },
  { title: 'A broker', table: brokerSettings },
];

/** All settings by name. */
export const settings = {
  ...processSettings,
  ...apiSettings,
  ...databaseSettings,
  ...deliverySettings,
  ...retrySettings,
  ...schedulerSettings,
  ...brokerSettings,
} as const;

type SettingName = keyof typeof settings;
type ValueOf<Name extends SettingName> =
  (typeof settings)[Name] extends Setting<infer Value> ? Value : never;

/** A setting that cannot be used. The message is one line: name, what it got, what it takes. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
}

/** Everything that can be set, parsed. Durations in milliseconds. */
export interface Config {
  readonly mode: RunMode;
  readonly api: {
    readonly host: string;
    readonly port: number;
    readonly bodyBytesMax: number;
    readonly batchBytesMax: number;
    readonly urlLengthMax: number;
    readonly idempotencyWindowMs: number;
  };
  readonly appDomain: string | undefined;
  readonly roles: readonly Role[];
  readonly logLevel: LogLevel;
  readonly database: {
    /** Undefined for the embedded one. */
    readonly url: string | undefined;
    readonly directUrl: string | undefined;
    readonly transactionPooler: boolean;
    readonly connectionsMax: number;
    readonly statementTimeoutMs: number;
    readonly migrateOnStart: boolean;
    readonly dataDir: string;
  };
  readonly delivery: {
    readonly timeoutMs: number;
    readonly timeoutMaxMs: number;
    readonly allowRedirects: boolean;
    readonly allowTargets: readonly AllowedTarget[];
    readonly concurrency: number;
    readonly destinationConcurrency: number;
    readonly retry: RetryPolicy;
  };
  readonly scheduler: {
    readonly lookAheadMs: number;
    readonly heartbeatTtlMs: number;
    readonly heldTimersMax: number;
    readonly catchUpRate: number | undefined;
  };
  readonly shutdownTimeoutMs: number;
}

/**
 * Reads the environment.
 * @throws SettingError for the first setting whose value is not what it takes.
 */
export function readConfig(
  mode: RunMode,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Config {
  const get = <Name extends SettingName>(name: Name): ValueOf<Name> =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the table ties name and parser
    parseSetting(name, settings[name], mode, environment[name]) as ValueOf<Name>;
  // Also those that are not used, here or yet: a bad one is a mistake somewhere.
  for (const [name, setting] of Object.entries(settings)) {
    parseSetting(name, setting, mode, environment[name]);
  }

  const host = get('HOST');
  if (!isLoopback(host) && !get('ALLOW_UNAUTHENTICATED')) {
    throw new SettingError(
      `HOST=${host} must be a loopback address such as 127.0.0.1, because the API asks nobody for credentials yet; ALLOW_UNAUTHENTICATED=true lifts this where something in front of it does`,
    );
  }
  return deepFreeze({
    mode,
    api: {
      host,
      port: get('PORT'),
      bodyBytesMax: get('MAX_BODY_BYTES'),
      batchBytesMax: get('MAX_BATCH_BYTES'),
      urlLengthMax: get('MAX_URL_LENGTH'),
      idempotencyWindowMs: get('IDEMPOTENCY_WINDOW') * 1_000,
    },
    appDomain: get('APP_DOMAIN'),
    roles: get('ROLES'),
    logLevel: get('LOG_LEVEL'),
    database: {
      url: get('DATABASE_URL') ?? urlFromParts(get),
      directUrl: get('DATABASE_DIRECT_URL'),
      transactionPooler: get('DATABASE_POOLER') === 'transaction',
      connectionsMax: get('DATABASE_POOL_SIZE'),
      statementTimeoutMs: get('DATABASE_STATEMENT_TIMEOUT') * 1_000,
      migrateOnStart: get('MIGRATE_ON_START'),
      dataDir: get('DATA_DIR'),
    },
    delivery: {
      timeoutMs: Math.ceil(get('WEBHOOK_TIMEOUT') * 1_000),
      timeoutMaxMs: Math.ceil(get('MAX_TIMEOUT') * 1_000),
      allowRedirects: get('ALLOW_REDIRECTS'),
      allowTargets: get('ALLOW_TARGETS'),
      concurrency: get('CONCURRENCY'),
      destinationConcurrency: get('DESTINATION_CONCURRENCY'),
      retry: {
        attemptsMax: get('RETRY_MAX_ATTEMPTS'),
        baseMs: get('RETRY_BASE') * 1_000,
        factor: get('RETRY_FACTOR'),
        capMs: get('RETRY_CAP') * 1_000,
        jitter: get('RETRY_JITTER'),
        ageMaxMs: millisecondsOf(get('RETRY_MAX_AGE')),
      },
    },
    scheduler: {
      lookAheadMs: get('LOOK_AHEAD') * 1_000,
      heartbeatTtlMs: get('HEARTBEAT_TTL') * 1_000,
      heldTimersMax: get('HELD_TIMERS_MAX'),
      catchUpRate: get('CATCH_UP_RATE'),
    },
    shutdownTimeoutMs: get('SHUTDOWN_TIMEOUT') * 1_000,
  });
}

function parseSetting(
  name: string,
  { parser, fallback, devFallback, secret }: Setting<unknown>,
  mode: RunMode,
  given: string | undefined,
): unknown {
  const text = given ?? (mode === 'dev' ? (devFallback ?? fallback) : fallback);
  if (text === null) return undefined;
  const value = parser.parse(text.trim());
  if (value === undefined) {
    const shown = secret === true ? 'its value (not shown)' : JSON.stringify(text);
    throw new SettingError(`${name} got ${shown}; it takes ${parser.takes}`);
  }
  return value;
}

function urlFromParts(
  get: <Name extends SettingName>(name: Name) => ValueOf<Name>,
): string | undefined {
  const host = get('POSTGRES_HOST');
  if (host === undefined) return undefined;
  const password = get('POSTGRES_PASSWORD');
  const url = new URL(`postgres://x/${encodeURIComponent(get('POSTGRES_DB'))}`);
  // A host that is a directory is a Unix socket.
  if (host.startsWith('/')) url.searchParams.set('host', host);
  else url.hostname = isIP(host) === 6 ? `[${host}]` : host;
  url.port = String(get('POSTGRES_PORT'));
  url.username = encodeURIComponent(get('POSTGRES_USER'));
  if (password !== undefined) url.password = encodeURIComponent(password);
  return url.href;
}

function millisecondsOf(given: number | undefined): number | null {
  return given === undefined ? null : given * 1_000;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function deepFreeze<Value extends object>(value: Value): Value {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner);
  }
  return Object.freeze(value);
}
