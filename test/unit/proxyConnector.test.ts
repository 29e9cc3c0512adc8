import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setDefaultCACertificates } from 'node:tls';
import { startConnectProxy, type ConnectProxy } from '../support/connectProxy.ts';
import { startReceiver } from '../support/receiver.ts';
import { selfSigned } from '../support/selfSigned.ts';
import { allowing, client, failed, success } from './fakes/client.ts';
import { startRawServer } from './fakes/rawServer.ts';

/** A client behind the proxy, with the strictest of guards. */
function behind(
  proxy: Pick<ConnectProxy, 'host' | 'port'>,
  over: { authorization?: string; connectTimeoutMs?: number; allow?: string } = {},
) {
  const { authorization, connectTimeoutMs = 2_000, allow = '' } = over;
  const { host, port } = proxy;
  return client({
    guard: allowing(allow),
    egressProxy: { host, port, authorization },
    connectTimeoutMs,
  });
}

test('EGRESS_PROXY: http goes through a tunnel; the proxy looks the name up and may lead inside', async () => {
  await using receiver = await startReceiver();
  await using proxy = await startConnectProxy({ names: { 'hooks.acme.io': '127.0.0.1' } });
  await using http = behind(proxy, { authorization: 'Basic bWU6cHc=' });
  const origin = `http://hooks.acme.io:${receiver.port}`;
  assert.deepEqual(await http.send(origin, { body: Buffer.from('b') }), success);
  assert.deepEqual(await http.send(origin), success);
  const [arrival] = receiver.arrivals;
  assert.equal(arrival?.headers['host'], `hooks.acme.io:${receiver.port}`);
  assert.equal(arrival?.headers['proxy-authorization'], undefined, 'that is for the proxy alone');
  assert.equal(arrival?.body, 'b');
  assert.deepEqual(proxy.requests, [
    `CONNECT hooks.acme.io:${receiver.port} HTTP/1.1\r\nhost: hooks.acme.io:${receiver.port}\r\nproxy-authorization: Basic bWU6cHc=\r\n\r\n`,
  ]);
});

test('EGRESS_PROXY: https goes through it too, and the certificate is checked against the name', async () => {
  setDefaultCACertificates([selfSigned.cert]);
  const names: string[] = [];
  const server = createHttpsServer(
    { ...selfSigned, SNICallback: (name, done) => (names.push(name), done(null)) },
    (_req, res) => res.end(),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await using proxy = await startConnectProxy({
    names: { localhost: '127.0.0.1', 'hooks.acme.io': '127.0.0.1' },
  });
  await using http = behind(proxy, { allow: 'localhost' });
  assert.deepEqual(await http.send(`https://localhost:${port}`), success);
  assert.deepEqual(await http.send(`https://hooks.acme.io:${port}`), failed('tls_wrong_name'));
  assert.deepEqual(names, ['localhost', 'hooks.acme.io']);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

test('EGRESS_PROXY: addresses and local names are still refused here, without asking it', async () => {
  await using proxy = await startConnectProxy({});
  await using http = behind(proxy);
  for (const host of ['127.0.0.1', '10.0.0.1', '[::1]', 'localhost', 'metadata', 'x.internal']) {
    for (const scheme of ['http', 'https']) {
      const result = await http.send(`${scheme}://${host}`);
      assert.deepEqual(result, failed('target_not_allowed'), host);
    }
  }
  assert.deepEqual(await http.send('http://hooks.acme.io:25'), failed('target_not_allowed'));
  assert.deepEqual(proxy.requests, []);
});

test('EGRESS_PROXY: whatever it answers but 2xx is one failure to callers; the log has the status', async () => {
  for (const [answer, reason] of [
    ['HTTP/1.1 403 Forbidden\r\n\r\n', /answered 403/],
    ['HTTP/1.1 407 Who are you\r\n\r\n', /answered 407/],
    ['HTTP/1.0 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nabc', /answered 502/],
    ['HTTP/1.1 302 X\r\nlocation: http://x/\r\n\r\n', /answered 302/],
    ['HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', /more came/],
    ['SSH-2.0-x\r\n\r\n', /no HTTP/],
    ['a'.repeat(40_000), /no HTTP/],
    ['', /closed/],
  ] as const) {
    await using proxy = await startConnectProxy({
      answer: (socket) => (socket.end(answer), true),
    });
    await using http = behind(proxy);
    assert.deepEqual(await http.send('http://hooks.acme.io'), failed('proxy_failed'), answer);
    assert.match(http.detail() ?? '', reason);
    assert.equal(proxy.requests.length, 1, 'asked once');
  }
});

test('EGRESS_PROXY: one that is not there, or says nothing, fails the attempt in time', async () => {
  const gone = await startRawServer({});
  await gone[Symbol.asyncDispose]();
  await using nobody = behind({ host: '127.0.0.1', port: gone.port });
  assert.deepEqual(await nobody.send('http://hooks.acme.io'), failed('proxy_failed'));
  await using silent = await startRawServer({});
  await using http = behind({ host: '127.0.0.1', port: silent.port }, { connectTimeoutMs: 200 });
  assert.deepEqual(await http.send('http://hooks.acme.io'), failed('proxy_failed'));
  await silent.closed();
});

test('T16: proxies of the environment are not asked', async () => {
  await using proxy = await startConnectProxy({});
  await using receiver = await startReceiver();
  const before = { ...process.env };
  const url = `http://${proxy.host}:${proxy.port}`;
  Object.assign(process.env, { HTTP_PROXY: url, http_proxy: url, NODE_USE_ENV_PROXY: '1' });
  try {
    await using http = client();
    assert.deepEqual(await http.send(receiver.url), success);
  } finally {
    for (const name of ['HTTP_PROXY', 'http_proxy', 'NODE_USE_ENV_PROXY']) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
  assert.deepEqual(proxy.requests, []);
});
