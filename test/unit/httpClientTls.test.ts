import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setDefaultCACertificates } from 'node:tls';
import { createAuthority } from '../support/certificates.ts';
import { startDnsServer } from '../support/dnsServer.ts';
import { selfSigned } from '../support/selfSigned.ts';
import { allowing, client, failed, success } from './fakes/client.ts';
import { startRawServer } from './fakes/rawServer.ts';

const authority = createAuthority();
setDefaultCACertificates([authority.cert]);
const hour = 3_600_000;

/** An https receiver on 127.0.0.2, where the names of the test lead. */
async function startTls(options: ServerOptions) {
  const asked: string[] = [];
  let accepted = 0;
  let requests = 0;
  const server = createServer(
    { ...options, SNICallback: (name, done) => (asked.push(name), done(null)) },
    (_req, res) => {
      requests += 1;
      res.end();
    },
  );
  server.on('connection', () => (accepted += 1)).on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.2');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    accepted: () => accepted,
    requests: () => requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const oldOnly = {
  minVersion: 'TLSv1',
  maxVersion: 'TLSv1.1',
  ciphers: 'DEFAULT@SECLEVEL=0',
} as const;

const faults: readonly [what: string, options: ServerOptions, errorCode: string][] = [
  [
    'expired',
    authority.issue(['hooks.acme.io', '127.0.0.2'], { to: new Date(Date.now() - hour) }),
    'tls_expired',
  ],
  [
    'not valid yet',
    authority.issue(['hooks.acme.io', '127.0.0.2'], { from: new Date(Date.now() + hour) }),
    'tls_expired',
  ],
  ['of another name', authority.issue(['other.acme.io', '127.0.0.3']), 'tls_wrong_name'],
  ['self-signed', selfSigned, 'tls_untrusted'],
  [
    'of an unknown authority',
    createAuthority().issue(['hooks.acme.io', '127.0.0.2']),
    'tls_untrusted',
  ],
  [
    'good, but TLS 1.1 at the most',
    { ...authority.issue(['hooks.acme.io', '127.0.0.2']), ...oldOnly },
    'tls_protocol',
  ],
];

for (const [what, options, errorCode] of faults) {
  test(`T25: a certificate that is ${what} is ${errorCode}: one attempt, nothing sent, none stuck`, async () => {
    await using server = await startTls(options);
    await using dns = await startDnsServer({ 'hooks.acme.io': { a: ['127.0.0.2'] } });
    await using http = client({ guard: allowing('127.0.0.2/32'), nameServer: dns.address });
    for (const host of ['hooks.acme.io', '127.0.0.2']) {
      const before = server.accepted();
      const origin = `https://${host}:${server.port}`;
      assert.deepEqual(await http.send(origin), failed(errorCode), host);
      assert.equal(server.accepted(), before + 1, 'never tried again within the attempt');
      const several = await Promise.all([1, 2, 3, 4].map(() => http.send(origin)));
      assert.deepEqual(several, Array(4).fill(failed(errorCode)));
    }
    assert.equal(server.requests(), 0);
  });
}

test('a good certificate: TLS asks for the name and checks it, whatever address it leads to', async () => {
  await using server = await startTls(authority.issue(['hooks.acme.io', '127.0.0.2']));
  await using dns = await startDnsServer({
    'hooks.acme.io': { a: ['127.0.0.2'] },
    'other.acme.io': { a: ['127.0.0.2'] },
  });
  await using http = client({ guard: allowing('127.0.0.2/32'), nameServer: dns.address });
  assert.deepEqual(await http.send(`https://hooks.acme.io:${server.port}`), success);
  assert.deepEqual(await http.send(`https://127.0.0.2:${server.port}`), success);
  assert.deepEqual(
    await http.send(`https://other.acme.io:${server.port}`),
    failed('tls_wrong_name'),
  );
  assert.deepEqual(server.asked, ['hooks.acme.io', 'other.acme.io']);
  assert.equal(server.requests(), 2);
});

for (const [what, end] of [
  ['reset', 'resetAndDestroy'],
  ['closed', 'end'],
] as const) {
  test(`T25: a connection that is ${what} during the TLS handshake is one failed attempt`, async () => {
    await using server = await startRawServer({
      onConnection: (socket) => socket.once('data', () => void socket[end]()),
    });
    await using http = client();
    const result = await http.send(server.origin.replace('http:', 'https:'));
    assert.deepEqual(result, failed('connection_reset'));
    assert.equal(server.accepted(), 1);
  });
}
