import { logLevels } from './telemetry/log.ts';
import * as egress from './core/egressSettings.ts';
import * as take from './core/settingParsers.ts';
import type { SettingParser } from './core/settingParsers.ts';

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

export function setting<Value>(
  parser: SettingParser<Value>,
  fallback: string,
  about: string,
  more: { devFallback?: string; secret?: boolean } = {},
): Setting<Value> {
  return { parser, fallback, about, ...more };
}

export function optional<Value>(
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
  AUTH: setting(
    take.oneOf(['auto', 'on', 'off']),
    'auto',
    'Who is asked for a token. `on`: everybody. `off`: nobody, wherever they are. `auto`: nobody until `belfry admin init` has given the first token, as long as HOST is a loopback address; with another HOST the service does not start before.',
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
  DATABASE_TLS: optional(
    take.oneOf(['verify-full', 'off']),
    'Whether connections to the database are encrypted, the certificate and its name checked. Unset: as `sslmode` in the URL says, and `verify-full` with DATABASE_CA_FILE.',
  ),
  DATABASE_CA_FILE: optional(
    take.anyText,
    "PEM file of the authority that signed the database's certificate, in place of those that Node trusts. Read anew for each connection.",
  ),
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
  DATABASE_REQUEST_ROLE: setting(
    take.databaseName,
    'belfry_request',
    'Role as which statements of one project run, so that row-level security holds them to it. Made at start if this user may; otherwise see docs/security.md. Installations that share a server but not their user need one each.',
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
    'Hosts, host:port or CIDR ranges that deliveries may reach although they are not public: by default loopback, private, link-local and other special addresses are refused, and names of local networks (`db`, `x.internal`). Looked at before all else. A host that is named here is looked up as the machine does (hosts file, search domains), any other by DNS alone.',
    { devFallback: 'localhost,127.0.0.0/8,::1' },
  ),
  DENY_TARGETS: setting(
    take.targetList,
    '',
    'Hosts, host:port or CIDR ranges that deliveries may not reach although they are public. ALLOW_TARGETS wins.',
  ),
  ALLOW_PORTS: optional(
    egress.portList,
    'Ports that deliveries may call, beside those of ALLOW_TARGETS. Unset: all but those at which something else than HTTP listens (25 and what else browsers do not call, 6379, 11211).',
  ),
  HTTPS_ONLY: setting(
    take.trueOrFalse,
    'false',
    'Takes and calls https URLs only, also those of ALLOW_TARGETS and redirects.',
  ),
  NAT64_PREFIX: optional(
    egress.nat64Prefix,
    'Prefix of the NAT64 gateway that deliveries go through, where there is one. Addresses in it are judged as the IPv4 address in their last 32 bits; otherwise they are refused.',
  ),
  DNS_SERVERS: optional(
    egress.nameServers,
    'Name servers for the hosts of deliveries that ALLOW_TARGETS does not name. Unset: those of the machine.',
  ),
  EGRESS_PROXY: optional(
    egress.egressProxy,
    'HTTP proxy through which all deliveries go (CONNECT, for http and https targets alike). It looks names up and has to judge where they lead; here only what the URL says is judged. HTTP_PROXY and its like are not looked at.',
    { secret: true },
  ),
  CONCURRENCY: setting(
    take.wholeNumber(1, 10_000),
    '1000',
    'Attempts under way in this process at the most. A project alone gets nine tenths of them; what is left is for others that come.',
  ),
  DESTINATION_CONCURRENCY: setting(
    take.wholeNumber(1, 1_000),
    '100',
    'Attempts under way in this process to one destination (scheme, host and port) at the most.',
  ),
  BREAKER_FAILURES: setting(
    take.wholeNumber(0, 10_000),
    '10',
    'Attempts to one destination of a project that fail in a row (no answer, 408, 5xx) until its breaker opens: then what falls due waits, and one at a time is sent as a probe, until one succeeds. 429 and 503 do so at once, for a moment or as long as `Retry-After` says. 0: never, nor for those.',
  ),
  DISABLE_AFTER: setting(
    take.orForever(take.decimal(1, 31_536_000, seconds)),
    '432000',
    'Seconds for which a destination may fail until it is disabled: it is not probed any more until `belfry breakers reset`.',
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

const retentionSettings = {
  HISTORY_RETENTION: setting(
    take.orForever(take.decimal(86_400, 3_155_760_000, seconds)),
    '2592000',
    'Seconds for which succeeded and cancelled timers are kept, at the least: they go by whole days, or by a thirtieth of this where that is longer.',
  ),
  FAILED_RETENTION: setting(
    take.orForever(take.decimal(86_400, 3_155_760_000, seconds)),
    '7776000',
    'The same for failed timers. Attempts are kept for the longer of the two.',
  ),
} as const satisfies SettingTable;

const secretSettings = {
  SECRET_KEYS: optional(
    take.secretKeys,
    'Keys for what is kept encrypted: `id:key`, each key 32 bytes in base64 (`openssl rand -base64 32`), several with commas or on lines of their own. The first encrypts, all decrypt. Unset: with the embedded PostgreSQL a key is made and kept beside it, in `secret.keys`; with another database what would have to be encrypted is refused.',
    { secret: true },
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
  { title: 'Secrets', table: secretSettings },
  { title: 'Delivery', table: deliverySettings },
  { title: 'Retries', table: retrySettings },
  { title: 'The scheduler', table: schedulerSettings },
  { title: 'Retention', table: retentionSettings },
  { title: 'A broker', table: brokerSettings },
];

/** All settings by name. */
export const settings = {
  ...processSettings,
  ...apiSettings,
  ...databaseSettings,
  ...secretSettings,
  ...deliverySettings,
  ...retrySettings,
  ...schedulerSettings,
  ...retentionSettings,
  ...brokerSettings,
} as const;
