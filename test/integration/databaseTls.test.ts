import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { readConfig } from '../../src/config.ts';
import { spawnBelfry } from '../support/belfryProcess.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';
import { startTlsPostgres, type TlsPostgres } from '../support/tlsPostgres.ts';

let server: TlsPostgres;
before(async () => {
  server = await startTlsPostgres();
});
after(() => server[Symbol.asyncDispose]());

const start = (environment: Readonly<Record<string, string>>) =>
  spawnBelfry({
    command: 'serve',
    environment: { ALLOW_TARGETS: '127.0.0.0/8', LOG_LEVEL: 'warn', ...environment },
  });

test('with the authority of its certificate the service runs, and every session is encrypted', async () => {
  await using receiver = await startReceiver();
  const given = { DATABASE_URL: server.url, DATABASE_CA_FILE: server.caFile };
  await using belfry = await start(given);
  await belfry.ready();
  await belfry.timers.created({ url: receiver.url, seconds: 0 });
  await eventually('the call', () => receiver.arrivals.length === 1);

  const client = new pg.Client({ connectionString: readConfig('serve', given).database.url });
  await client.connect();
  try {
    const { rows } = await client.query<{ ssl: boolean; version: string }>(
      `SELECT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
      WHERE a.application_name = 'belfry'`,
    );
    assert.ok(rows.length >= 3, 'the pool, the heartbeat, the listener');
    for (const { ssl, version } of rows) assert.deepEqual([ssl, version], [true, 'TLSv1.3']);
  } finally {
    await client.end();
  }
  assert.equal(belfry.stderr(), '');
});

const refused: Readonly<
  Record<string, { given: () => Readonly<Record<string, string>>; says: RegExp }>
> = {
  'a certificate of an authority that nobody named': {
    given: () => ({ DATABASE_URL: server.url, DATABASE_TLS: 'verify-full' }),
    says: /self-signed certificate/,
  },
  'a certificate of another name': {
    given: () => ({ DATABASE_URL: server.misnamedUrl, DATABASE_CA_FILE: server.caFile }),
    says: /127\.0\.0\.2 is not in the cert's list/,
  },
  'a connection without TLS, which this server refuses': {
    given: () => ({ DATABASE_URL: server.url, DATABASE_TLS: 'off' }),
    says: /no encryption/,
  },
};

for (const [what, { given, says }] of Object.entries(refused)) {
  test(`${what}: the start ends, and says why without the password`, async () => {
    const environment = given();
    await using belfry = await start(environment);
    const { code } = await belfry.exited;
    assert.equal(code, 1);
    const said = belfry.stdout() + belfry.stderr();
    assert.match(said, says);
    const { password } = new URL(environment['DATABASE_URL'] ?? '');
    assert.ok(password !== '' && !said.includes(password));
  });
}
