import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { LogLevel } from './telemetry/log.ts';
import { withTls } from './core/databaseUrl.ts';
import type { Retention } from './core/partitionPlan.ts';
import type { RetryPolicy } from './core/retryPolicy.ts';
import type { SecretKey } from './core/secretBox.ts';
import type { EgressProxy, PortRange } from './core/egressSettings.ts';
import type { TargetEntry } from './core/settingParsers.ts';
import { settings, type Role, type Setting } from './settings.ts';

/** How Belfry runs: `dev` is for trying it on one's own machine, `serve` is production. */
export type RunMode = 'dev' | 'serve';

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
    readonly isLoopback: boolean;
    /** As the authenticator knows it. */
    readonly auth: 'auto' | 'on' | 'off';
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
    readonly requestRole: string;
    readonly dataDir: string;
  };
  /** Undefined when not set. */
  readonly secretKeys: readonly SecretKey[] | undefined;
  readonly delivery: {
    readonly timeoutMs: number;
    readonly timeoutMaxMs: number;
    readonly allowRedirects: boolean;
    readonly allowTargets: readonly TargetEntry[];
    readonly denyTargets: readonly TargetEntry[];
    readonly nat64Prefix: string | undefined;
    readonly allowPorts: readonly PortRange[] | undefined;
    readonly httpsOnly: boolean;
    readonly nameServers: readonly string[] | undefined;
    readonly egressProxy: EgressProxy | undefined;
    readonly concurrency: number;
    readonly destinationConcurrency: number;
    readonly breakerFailures: number;
    /** Infinity for never. */
    readonly disableAfterMs: number;
    readonly retry: RetryPolicy;
  };
  readonly scheduler: {
    readonly lookAheadMs: number;
    readonly heartbeatTtlMs: number;
    readonly heldTimersMax: number;
    readonly catchUpRate: number | undefined;
  };
  readonly retention: Retention;
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
    parseSetting(name, settings[name], mode, environment) as ValueOf<Name>;
  // Also those that are not used, here or yet: a bad one is a mistake somewhere.
  for (const [name, setting] of Object.entries(settings)) {
    parseSetting(name, setting, mode, environment);
  }

  const host = get('HOST');
  const tls = { mode: get('DATABASE_TLS'), caFile: get('DATABASE_CA_FILE') };
  if (tls.caFile !== undefined) checkCertificates('DATABASE_CA_FILE', tls.caFile);
  if (tls.mode === 'off' && tls.caFile !== undefined) {
    throw new SettingError('DATABASE_TLS is "off" and DATABASE_CA_FILE is set: give one of them');
  }
  const overTls = (url: string | undefined) => (url === undefined ? url : withTls(url, tls));
  return deepFreeze({
    mode,
    api: {
      host,
      isLoopback: isLoopback(host),
      auth: get('AUTH'),
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
      url: overTls(get('DATABASE_URL') ?? urlFromParts(get)),
      directUrl: overTls(get('DATABASE_DIRECT_URL')),
      transactionPooler: get('DATABASE_POOLER') === 'transaction',
      connectionsMax: get('DATABASE_POOL_SIZE'),
      statementTimeoutMs: get('DATABASE_STATEMENT_TIMEOUT') * 1_000,
      migrateOnStart: get('MIGRATE_ON_START'),
      requestRole: get('DATABASE_REQUEST_ROLE'),
      dataDir: get('DATA_DIR'),
    },
    secretKeys: get('SECRET_KEYS'),
    delivery: {
      timeoutMs: Math.ceil(get('WEBHOOK_TIMEOUT') * 1_000),
      timeoutMaxMs: Math.ceil(get('MAX_TIMEOUT') * 1_000),
      allowRedirects: get('ALLOW_REDIRECTS'),
      allowTargets: get('ALLOW_TARGETS'),
      denyTargets: get('DENY_TARGETS'),
      nat64Prefix: get('NAT64_PREFIX'),
      allowPorts: get('ALLOW_PORTS'),
      httpsOnly: get('HTTPS_ONLY'),
      nameServers: get('DNS_SERVERS'),
      egressProxy: get('EGRESS_PROXY'),
      concurrency: get('CONCURRENCY'),
      destinationConcurrency: get('DESTINATION_CONCURRENCY'),
      breakerFailures: get('BREAKER_FAILURES'),
      disableAfterMs: get('DISABLE_AFTER') * 1_000,
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
    retention: {
      historyMs: get('HISTORY_RETENTION') * 1_000,
      failedMs: get('FAILED_RETENTION') * 1_000,
    },
    shutdownTimeoutMs: get('SHUTDOWN_TIMEOUT') * 1_000,
  });
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The value of one setting. @throws SettingError when what is given is not what it takes. */
export function parseSetting(
  name: string,
  setting: Setting<unknown>,
  mode: RunMode,
  environment: Environment,
): unknown {
  const { parser, fallback, devFallback, secret } = setting;
  const given = secret === true ? secretOf(name, environment) : environment[name];
  const text = given ?? (mode === 'dev' ? (devFallback ?? fallback) : fallback);
  if (text === null) return undefined;
  const value = parser.parse(text.trim());
  if (value === undefined) {
    const shown = secret === true ? 'its value (not shown)' : JSON.stringify(text);
    throw new SettingError(`${name} got ${shown}; it takes ${parser.takes}`);
  }
  return value;
}

/** A secret may stand in a file instead, as orchestrators hand them out. */
function secretOf(name: string, environment: Environment): string | undefined {
  const path = environment[`${name}_FILE`];
  if (path === undefined || path === '') return environment[name];
  if (environment[name] !== undefined && environment[name] !== '') {
    throw new SettingError(`${name} and ${name}_FILE are both set: give one of them`);
  }
  return readSettingFile(`${name}_FILE`, path, 'the path of a file');
}

/** The driver reads it anew for each connection; a start is to end here when it could not. */
function checkCertificates(name: string, path: string): void {
  const takes = 'the path of a PEM file with certificates';
  if (/^-----BEGIN (?:TRUSTED )?CERTIFICATE-----/m.test(readSettingFile(name, path, takes))) return;
  throw new SettingError(
    `${name} got ${JSON.stringify(path)}, which holds no certificate; it takes ${takes}`,
  );
}

function readSettingFile(name: string, path: string, takes: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (err) {
    const reason = err instanceof Error && 'code' in err ? String(err.code) : 'it is no file';
    throw new SettingError(
      `${name} got ${JSON.stringify(path)}, which cannot be read (${reason}); it takes ${takes}`,
    );
  }
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
