import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readConfig, SettingError, type RunMode } from '../../src/config.ts';
import { settingGroups, settings } from '../../src/settings.ts';
import { selfSigned } from '../support/selfSigned.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const read = (environment: Environment, mode: RunMode = 'serve') => readConfig(mode, environment);

function messageOf(environment: Environment, mode: RunMode = 'serve'): string {
  try {
    read(environment, mode);
  } catch (err) {
    assert.ok(err instanceof SettingError, String(err));
    return err.message;
  }
  return assert.fail(`taken: ${JSON.stringify(environment)}`);
}

test('without any setting the defaults hold, and they are those of production', () => {
  assert.deepEqual(read({}), {
    mode: 'serve',
    api: {
      host: '127.0.0.1',
      isLoopback: true,
      auth: 'auto',
      port: 5_000,
      bodyBytesMax: 1_048_576,
      batchBytesMax: 33_554_432,
      urlLengthMax: 200,
      idempotencyWindowMs: 86_400_000,
    },
    appDomain: undefined,
    roles: ['api', 'scheduler'],
    logLevel: 'info',
    database: {
      url: undefined,
      directUrl: undefined,
      transactionPooler: false,
      connectionsMax: 10,
      statementTimeoutMs: 10_000,
      migrateOnStart: true,
      requestRole: 'belfry_request',
      dataDir: '.belfry',
    },
    secretKeys: undefined,
    delivery: {
      timeoutMs: 3_000,
      timeoutMaxMs: 900_000,
      allowRedirects: false,
      allowTargets: [],
      denyTargets: [],
      nat64Prefix: undefined,
      allowPorts: undefined,
      httpsOnly: false,
      nameServers: undefined,
      egressProxy: undefined,
      concurrency: 1_000,
      destinationConcurrency: 100,
      breakerFailures: 10,
      disableAfterMs: 432_000_000,
      retry: {
        attemptsMax: 5,
        baseMs: 5_000,
        factor: 4,
        capMs: 21_600_000,
        jitter: 0.2,
        ageMaxMs: null,
      },
    },
    scheduler: {
      lookAheadMs: 1_000,
      heartbeatTtlMs: 5_000,
      heldTimersMax: 4_096,
      catchUpRate: undefined,
    },
    retention: { historyMs: 2_592_000_000, failedMs: 7_776_000_000 },
    shutdownTimeoutMs: 20_000,
  });
});

test('dev differs from serve in its targets only: loopback, which any setting takes away again', () => {
  const dev = read({}, 'dev');
  assert.deepEqual(dev.delivery.allowTargets, [
    { kind: 'host', host: 'localhost', port: undefined },
    { kind: 'range', network: '127.0.0.0', prefix: 8 },
    { kind: 'host', host: '::1', port: undefined },
  ]);
  const { delivery } = read({});
  assert.deepEqual(
    { ...dev, mode: 'serve', delivery: { ...dev.delivery, allowTargets: [] } },
    { ...read({}), delivery },
  );
  assert.deepEqual(read({ ALLOW_TARGETS: '' }, 'dev').delivery.allowTargets, []);
  assert.deepEqual(read({ ALLOW_TARGETS: ' ' }, 'dev').delivery.allowTargets, []);
});

test('the names of the system that this one replaces are kept', () => {
  const config = read({
    WEBHOOK_TIMEOUT: '2.5',
    ALLOW_REDIRECTS: 'true',
    APP_DOMAIN: 'Timers.Example.com',
    BROKER_CONNECTION: 'amqp://guest:guest@rabbit:5672',
    POSTGRES_DB: 'db',
    POSTGRES_USER: 'me',
    POSTGRES_PASSWORD: 'p@ss/w:rd%',
    POSTGRES_HOST: 'db_host',
    POSTGRES_PORT: '6432',
    PORT: '8080',
  });
  assert.equal(config.delivery.timeoutMs, 2_500);
  assert.equal(config.delivery.allowRedirects, true);
  assert.equal(config.appDomain, 'timers.example.com');
  assert.equal(config.database.url, 'postgres://me:p%40ss%2Fw%3Ard%25@db_host:6432/db');
  assert.equal(config.api.port, 8_080);
});

test('the POSTGRES_* parts lead to the host that they name, whatever its form', () => {
  assert.equal(read({ POSTGRES_HOST: '::1' }).database.url, 'postgres://belfry@[::1]:5432/belfry');
  assert.equal(
    read({ POSTGRES_HOST: '10.0.0.5' }).database.url,
    'postgres://belfry@10.0.0.5:5432/belfry',
  );
  const socket = new URL(read({ POSTGRES_HOST: '/var/run/postgresql' }).database.url ?? '');
  assert.equal(socket.searchParams.get('host'), '/var/run/postgresql');
  const user = new URL(read({ POSTGRES_HOST: 'h', POSTGRES_USER: 'a:b@c' }).database.url ?? '');
  assert.equal(decodeURIComponent(user.username), 'a:b@c');
  assert.equal(user.hostname, 'h');
});

test('DATABASE_URL goes before the parts', () => {
  const url = 'postgresql://u:p@h:1/d';
  assert.equal(read({ DATABASE_URL: url, POSTGRES_HOST: 'other' }).database.url, url);
  assert.equal(read({ DATABASE_DIRECT_URL: url }).database.directUrl, url);
});

test('WEBHOOK_TIMEOUT has no upper cap, but is a number', () => {
  assert.equal(read({ WEBHOOK_TIMEOUT: '86400000' }).delivery.timeoutMs, 86_400_000_000);
  assert.equal(read({ WEBHOOK_TIMEOUT: '0.001' }).delivery.timeoutMs, 1);
  assert.equal(
    messageOf({ WEBHOOK_TIMEOUT: 'abc' }),
    'WEBHOOK_TIMEOUT got "abc"; it takes a number of seconds from 0.001 or more',
  );
  messageOf({ WEBHOOK_TIMEOUT: '9'.repeat(400) });
});

test('retention is a day at the least, or for ever when that is said in a word', () => {
  const { retention } = read({ HISTORY_RETENTION: '86400', FAILED_RETENTION: 'Forever' });
  assert.deepEqual(retention, { historyMs: 86_400_000, failedMs: Infinity });
  assert.equal(
    messageOf({ HISTORY_RETENTION: '0' }),
    'HISTORY_RETENTION got "0"; it takes a number of seconds from 86400 to 3155760000, or "forever"',
  );
});

test('TLS to the database: its mode and authority go into both URLs, and the driver warns of nothing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'belfry-config-'));
  try {
    const DATABASE_CA_FILE = join(directory, 'ca & more.pem');
    await writeFile(DATABASE_CA_FILE, selfSigned.cert);
    const DATABASE_URL = 'postgres://me:p%40ss@db/d?sslmode=require';
    const DATABASE_DIRECT_URL = 'postgres://db:5433/d';
    const { url, directUrl } = read({
      DATABASE_URL,
      DATABASE_DIRECT_URL,
      DATABASE_CA_FILE,
    }).database;
    for (const one of [url, directUrl]) {
      const { searchParams } = new URL(one ?? '');
      assert.deepEqual(Object.fromEntries(searchParams), {
        sslmode: 'verify-full',
        sslrootcert: DATABASE_CA_FILE,
      });
    }
    assert.ok(url?.startsWith('postgres://me:p%40ss@db/d?'));

    const modeOf = (given: Record<string, string>) =>
      new URL(read({ DATABASE_URL, ...given }).database.url ?? '').searchParams.get('sslmode');
    assert.equal(modeOf({}), 'verify-full');
    assert.equal(modeOf({ DATABASE_TLS: 'off' }), 'disable');
    const parts = read({ POSTGRES_HOST: 'db', DATABASE_TLS: 'verify-full' }).database.url;
    assert.equal(parts, 'postgres://belfry@db:5432/belfry?sslmode=verify-full');
    const plain = 'postgres://db/d?sslmode=no-verify';
    assert.equal(read({ DATABASE_URL: plain }).database.url, plain);
    assert.match(messageOf({ DATABASE_TLS: 'off', DATABASE_CA_FILE }), /give one of them/);
  } finally {
    await rm(directory, { recursive: true });
  }
});

const key = Buffer.alloc(32, 7).toString('base64');

const bad: Readonly<Record<keyof typeof settings, readonly string[]>> = {
  ROLES: ['', 'api,', 'worker', 'api;scheduler'],
  LOG_LEVEL: ['', 'verbose', 'info,debug'],
  SHUTDOWN_TIMEOUT: ['', '-1', '3601', 'x', '5s'],
  HOST: ['', 'http://x', 'a b', 'a..b', '-x', '1.2.3', '[::1]'],
  PORT: ['', '-1', '65536', '80.5', '0x50', '8e1', 'http', '５０００'],
  AUTH: ['', 'yes', 'true', '2', 'constructor', '__proto__'],
  APP_DOMAIN: ['', 'https://timers.example.com', 'timers.example.com:443', 'a/b'],
  MAX_BODY_BYTES: ['', '1023', '67108865', '1MB'],
  MAX_BATCH_BYTES: ['', '1023', '1073741825', '1GB'],
  IDEMPOTENCY_WINDOW: ['', '0', '31536001', '1d'],
  MAX_URL_LENGTH: ['', '9', '8001', 'x'],
  DATABASE_URL: ['', 'mysql://h/d', 'localhost', 'postgres:/h', 'postgres://h:port/d'],
  POSTGRES_HOST: ['', 'h:5433', 'a b', 'http://h'],
  POSTGRES_PORT: ['', '0', '65536', 'x'],
  POSTGRES_DB: [''],
  POSTGRES_USER: [''],
  POSTGRES_PASSWORD: [''],
  DATABASE_TLS: ['', 'on', 'require', 'no-verify'],
  DATABASE_CA_FILE: ['', '/nowhere/ca.pem', '/dev/null', '/'],
  DATABASE_POOLER: ['', 'session', 'true'],
  DATABASE_DIRECT_URL: ['', 'http://h/d'],
  DATABASE_POOL_SIZE: ['', '3', '201', '-5', '4.5'],
  DATABASE_STATEMENT_TIMEOUT: ['', '0.5', '601', '1e1'],
  MIGRATE_ON_START: ['', 'no', 'maybe'],
  DATABASE_REQUEST_ROLE: ['', 'Belfry', '1st', 'a-b', 'a'.repeat(64)],
  DATA_DIR: [''],
  WEBHOOK_TIMEOUT: ['', 'abc', '0', '-3', '1e3', '3s', 'Infinity', 'NaN', '3,5', '.5', '5.'],
  MAX_TIMEOUT: ['', '0', '86401', '15min'],
  ALLOW_REDIRECTS: ['', 'yes', 'tru', 'constructor', 'tostring'],
  ALLOW_TARGETS: ['10.0.0.0/33', '::/129', 'host:0', 'host:65536', 'host:', 'http://x', 'a b', '*'],
  DENY_TARGETS: ['10.0.0.0/33', '::/129', 'host:0', '*', '*.', '*x.io', 'a.*.io', 'http://x'],
  ALLOW_PORTS: ['', '0', '65536', '80-', '-80', '90-80', '80,', '80-90-100', 'http', '80;81'],
  HTTPS_ONLY: ['', 'yes', 'on'],
  NAT64_PREFIX: ['', '64:ff9b::', '64:ff9b::/64', '10.0.0.0/96', 'x::/96', '64:ff9b::/096'],
  DNS_SERVERS: ['', 'dns.example.com', '1.1.1.1:0', '1.1.1.1,', '::1:53x', '[1.1.1.1]:53', '[::1'],
  EGRESS_PROXY: ['', 'proxy:3128', 'https://proxy:3128', 'socks5://p', 'http://', 'http://p/x'],
  CONCURRENCY: ['', '0', '10001', 'x'],
  DESTINATION_CONCURRENCY: ['', '0', '1001'],
  BREAKER_FAILURES: ['-1', '1.5', '10001', 'off'],
  DISABLE_AFTER: ['0', '5d', '31536001', 'never'],
  RETRY_MAX_ATTEMPTS: ['', '0', '101', '5.5'],
  RETRY_BASE: ['', '0', '86401'],
  RETRY_FACTOR: ['', '0.5', '101'],
  RETRY_CAP: ['', '0', '31536001'],
  RETRY_JITTER: ['', '-0.1', '1.1', '20%'],
  RETRY_MAX_AGE: ['', '-1', '3155760001', '1h'],
  LOOK_AHEAD: ['', '0.05', '61'],
  HEARTBEAT_TTL: ['', '0.5', '301'],
  HELD_TIMERS_MAX: ['', '999', '1000001'],
  CATCH_UP_RATE: ['', '0', '1000001', 'fast'],
  HISTORY_RETENTION: ['', '0', '86399', '30d', 'ever', 'Infinity', '3155760001'],
  FAILED_RETENTION: ['', '0', '86399', '-1', 'never', '1e6'],
  SECRET_KEYS: ['', 'a', 'a:b', `A:${key}`, key, `a:${key}x`, `a:${key},a:${key}`, `:${key}`],
  BROKER_CONNECTION: [''],
};

test('every setting, used or not, refuses bad values in one line: its name, the value, what it takes', () => {
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) {
      const message = messageOf({ [name]: value });
      assert.ok(message.startsWith(`${name} `), message);
      assert.match(message, /; it takes \S/);
      assert.ok(!message.includes('\n'), message);
      const isSecret = Object.entries(settings).some(
        ([other, setting]) => other === name && 'secret' in setting && setting.secret,
      );
      if (!isSecret) assert.ok(message.includes(JSON.stringify(value)), message);
    }
  }
});

test('a value with line breaks is still told in one line', () => {
  assert.equal(messageOf({ PORT: '80\n81' }).split('\n').length, 1);
});

test('secrets are never shown', () => {
  const secret = 'hunter2';
  for (const [name, value] of [
    ['DATABASE_URL', `mysql://me:${secret}@h/d`],
    ['DATABASE_DIRECT_URL', `mysql://me:${secret}@h/d`],
    ['SECRET_KEYS', `a:${secret}`],
    ['EGRESS_PROXY', `https://me:${secret}@h:1`],
  ] as const) {
    const message = messageOf({ [name]: value });
    assert.ok(!message.includes(secret) && message.startsWith(name), message);
  }
  const secrets = Object.entries(settings)
    .filter(([, setting]) => 'secret' in setting && setting.secret)
    .map(([name]) => name);
  assert.deepEqual(secrets.toSorted(), [
    'BROKER_CONNECTION',
    'DATABASE_DIRECT_URL',
    'DATABASE_URL',
    'EGRESS_PROXY',
    'POSTGRES_PASSWORD',
    'SECRET_KEYS',
  ]);
});

test('loopback addresses are told from others', () => {
  for (const HOST of ['0.0.0.0', '::', '192.168.1.5', 'timers.example.com', '127.evil.io']) {
    assert.equal(read({ HOST }).api.isLoopback, false, HOST);
  }
  for (const HOST of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) {
    assert.equal(read({ HOST }).api.isLoopback, true, HOST);
  }
});

test('blanks around a value and capitals in a word do not matter', () => {
  const config = read({ PORT: ' 80 ', ALLOW_REDIRECTS: 'TRUE', LOG_LEVEL: 'Warn', ROLES: 'API' });
  assert.equal(config.api.port, 80);
  assert.equal(config.delivery.allowRedirects, true);
  assert.equal(config.logLevel, 'warn');
  assert.deepEqual(config.roles, ['api']);
});

test('a secret may stand in a file that NAME_FILE names', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'belfry-config-'));
  try {
    const path = join(directory, 'password');
    await writeFile(path, 'p/w\n');
    const parts = { POSTGRES_HOST: 'db', POSTGRES_PASSWORD_FILE: path };
    assert.equal(read(parts).database.url, 'postgres://belfry:p%2Fw@db:5432/belfry');
    const secrets = Object.entries(settings).filter(([, setting]) => 'secret' in setting);
    assert.ok(secrets.length >= 4);
    for (const [name] of secrets) {
      const missing = messageOf({ [`${name}_FILE`]: join(directory, 'none') });
      assert.ok(missing.startsWith(`${name}_FILE got `) && missing.includes('ENOENT'), missing);
      const both = messageOf({ [name]: 'hunter2', [`${name}_FILE`]: path });
      assert.ok(both.startsWith(`${name} and ${name}_FILE`) && !both.includes('hunter2'), both);
    }
    // Only of secrets: another NAME_FILE means nothing.
    assert.equal(read({ PORT_FILE: path }).api.port, 5_000);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('the settings are frozen, through and through', () => {
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    assert.ok(Object.isFrozen(value));
    for (const inner of Object.values(value)) visit(inner);
  };
  visit(read({ ALLOW_TARGETS: '10.0.0.0/8' }));
});

test('whatever the environment holds, it is read or refused by a SettingError', () => {
  const names = fc.constantFrom(...Object.keys(settings));
  const values = fc.oneof(
    fc.string(),
    fc.double().map(String),
    fc.integer().map(String),
    fc.webUrl(),
    fc.ipV6(),
    fc.constantFrom('constructor', '__proto__', 'toString', '\0', '\n'),
  );
  fc.assert(
    fc.property(fc.dictionary(names, values, { maxKeys: 3 }), (environment) => {
      try {
        read(environment);
      } catch (err) {
        assert.ok(err instanceof SettingError, String(err));
        assert.ok(!err.message.includes('\n'));
      }
    }),
    { numRuns: 2_000 },
  );
});

test('every default is a value that its setting takes, and every setting is in one group', () => {
  const grouped = settingGroups.flatMap(({ table }) => Object.keys(table));
  assert.deepEqual(grouped, Object.keys(settings));
  for (const { table } of settingGroups) {
    for (const [name, { parser, fallback, devFallback, about }] of Object.entries(table)) {
      for (const text of [fallback, devFallback]) {
        if (typeof text === 'string') assert.notEqual(parser.parse(text), undefined, name);
      }
      assert.match(about, /\.$/, `${name} is told in sentences`);
    }
  }
});
