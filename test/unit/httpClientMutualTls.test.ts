import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { parseTls, TlsIdentity } from '../../src/core/tlsIdentity.ts';
import { createAuthority } from '../support/certificates.ts';
import { startConnectProxy } from '../support/connectProxy.ts';
import { startDnsServer } from '../support/dnsServer.ts';
import { allowing, client, failed, success } from './fakes/client.ts';

/** Of the receiver's side, and of its clients': no public one knows either. */
const servers = createAuthority();
const clients = createAuthority();

function identity(id: string, parts: { certificate?: string; key?: string; ca?: string }) {
  return new TlsIdentity(id, parseTls(parts, Date.now()).identity.reveal());
}

function clientOf(name: string, authority = clients) {
  const { cert, key } = authority.issue([name]);
  return identity(name, { certificate: cert, key, ca: servers.cert });
}

/** A receiver on 127.0.0.2 that takes nobody without a certificate of its authority. */
async function startMutual(certificate = servers.issue(['hooks.acme.io', '127.0.0.2'])) {
  const seen: string[] = [];
  const asked: string[] = [];
  const server = createServer(
    {
      ...certificate,
      ca: clients.cert,
      requestCert: true,
      rejectUnauthorized: true,
      SNICallback: (name, done) => (asked.push(name), done(null)),
    },
    (req, res) => {
      seen.push(String((req.socket as TLSSocket).getPeerCertificate().subject.CN));
      if (req.url !== undefined && req.url.length > 10) {
        res.writeHead(307, { location: decodeURIComponent(req.url.slice(1)) });
      }
      res.end();
    },
  );
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.2');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const reach = { guard: allowing('127.0.0.2/32') };

test('mutual TLS: the right certificate is taken, and TLS asks for the name and checks it', async () => {
  await using server = await startMutual();
  await using dns = await startDnsServer({
    'hooks.acme.io': { a: ['127.0.0.2'] },
    'other.acme.io': { a: ['127.0.0.2'] },
  });
  await using http = client({ ...reach, nameServer: dns.address });
  const tls = clientOf('one');
  for (const host of ['hooks.acme.io', '127.0.0.2']) {
    assert.deepEqual(await http.send(`https://${host}:${server.port}`, { tls }), success, host);
  }
  const other = await http.send(`https://other.acme.io:${server.port}`, { tls });
  assert.deepEqual(other, failed('tls_wrong_name'));
  assert.deepEqual(server.asked, ['hooks.acme.io', 'other.acme.io']);
  assert.deepEqual(server.seen, ['one', 'one']);
});

test('mutual TLS: none, or one of another authority, is not taken, and nothing is delivered', async () => {
  await using server = await startMutual();
  await using http = client(reach);
  const origin = `https://127.0.0.2:${server.port}`;
  for (const tls of [identity('none', { ca: servers.cert }), clientOf('x', createAuthority())]) {
    const result = await http.send(origin, { tls });
    // In TLS 1.3 the refusal comes after the handshake: as an alert, or as a closed connection.
    assert.ok(result.kind === 'error', JSON.stringify(result));
    assert.match(result.errorCode, /^(?:tls_failed|connection_reset)$/);
  }
  assert.deepEqual(server.seen, []);
});

test('a private authority is trusted in place of all others, and only where it was set', async () => {
  await using server = await startMutual();
  await using http = client(reach);
  const origin = `https://127.0.0.2:${server.port}`;
  const { cert, key } = clients.issue(['one']);
  const wrong = identity('wrong', { certificate: cert, key, ca: createAuthority().cert });
  assert.deepEqual(await http.send(origin, { tls: wrong }), failed('tls_untrusted'));
  const unsaid = identity('unsaid', { certificate: cert, key });
  assert.deepEqual(await http.send(origin, { tls: unsaid }), failed('tls_untrusted'));
  assert.deepEqual(await http.send(origin), failed('tls_untrusted'));
  assert.deepEqual(await http.send(origin, { tls: clientOf('one') }), success);
  assert.deepEqual(server.seen, ['one']);
});

test('a connection is used only by whom it was made for, and forgotten with its last', async () => {
  const server = await startMutual();
  await using http = client(reach);
  const origin = `https://127.0.0.2:${server.port}`;
  const [one, two] = [clientOf('one'), clientOf('two')];
  for (const tls of [one, two, one, two]) {
    assert.deepEqual(await http.send(origin, { tls }), success);
  }
  assert.deepEqual(await http.send(origin), failed('tls_untrusted'));
  assert.deepEqual(server.seen, ['one', 'two', 'one', 'two']);
  assert.equal(http.origins(), 2);
  await server[Symbol.asyncDispose]();
  while (http.origins() > 0) await new Promise(setImmediate);
});

test('through a proxy it is the same: the tunnel knows nothing of it', async () => {
  await using server = await startMutual();
  await using proxy = await startConnectProxy({});
  await using http = client({ ...reach, egressProxy: { ...proxy, authorization: undefined } });
  const origin = `https://127.0.0.2:${server.port}`;
  assert.deepEqual(await http.send(origin, { tls: clientOf('one') }), success);
  assert.deepEqual(await http.send(origin), failed('tls_untrusted'));
  assert.deepEqual(server.seen, ['one']);
});

test('a redirect to another origin is followed as nobody', async () => {
  await using server = await startMutual();
  await using other = await startMutual();
  await using http = client({ ...reach, allowRedirects: true });
  const tls = clientOf('one');
  const origin = `https://127.0.0.2:${server.port}`;
  const to = (url: string) => `/${encodeURIComponent(url)}`;
  const stays = await http.send(origin, { tls, path: to(`${origin}/x`) });
  assert.deepEqual(stays, success);
  const away = await http.send(origin, { tls, path: to(`https://127.0.0.2:${other.port}/x`) });
  assert.deepEqual(away, failed('tls_untrusted'));
  assert.deepEqual([server.seen.length, other.seen.length], [3, 0]);
});

test('whoever prints an identity prints none of it', () => {
  const one = clientOf('one');
  for (const text of [inspect(one), JSON.stringify({ one })]) {
    assert.ok(!text.includes('-----'), text);
  }
});
