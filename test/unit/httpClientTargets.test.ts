import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AddressGuard } from '../../src/delivery/addressGuard.ts';
import { startDnsServer } from '../support/dnsServer.ts';
import { eventually } from '../support/eventually.ts';
import { startReceiver } from '../support/receiver.ts';
import { allowing, client, failed, success } from './fakes/client.ts';
import { startRawServer } from './fakes/rawServer.ts';

test('T1: literal addresses that are not allowed are never connected to, however spelt', async () => {
  await using server = await startRawServer({});
  await using http = client({ guard: allowing('') });
  const { port } = server;
  for (const host of ['127.0.0.1', '0x7f.1', '2130706433', '0', '[::1]', '[::ffff:127.0.0.1]']) {
    for (const scheme of ['http', 'https']) {
      const { origin } = new URL(`${scheme}://${host}:${port}/`);
      assert.deepEqual(await http.send(origin), failed('target_not_allowed'), origin);
    }
  }
  assert.deepEqual(await http.send(`http://localhost:${port}`), failed('target_not_allowed'));
  assert.equal(server.accepted(), 0);
});

test('T2, T3, T4: nothing inside is connected to, by http or https, as address or by a name', async () => {
  await using server = await startRawServer({});
  await using dns = await startDnsServer({
    'loop.evil.io': { a: ['127.0.0.1'] },
    'loop6.evil.io': { aaaa: ['::1'] },
    'mapped.evil.io': { aaaa: ['::ffff:127.0.0.1'] },
    'alias.evil.io': { cname: 'loop.evil.io' },
    'meta.evil.io': { a: ['169.254.169.254'] },
    'nat.evil.io': { aaaa: ['64:ff9b::7f00:1'] },
    'zero.evil.io': { a: ['0.0.0.0'] },
  });
  await using http = client({ guard: allowing(''), nameServer: dns.address });
  const names = ['loop', 'loop6', 'mapped', 'alias', 'meta', 'nat', 'zero'];
  for (const scheme of ['http', 'https']) {
    for (const host of ['127.0.0.1', '[::ffff:7f00:1]', 'localhost']) {
      const origin = `${scheme}://${host}:${server.port}`;
      assert.deepEqual(await http.send(origin), failed('target_not_allowed'), origin);
    }
    for (const name of names) {
      const origin = `${scheme}://${name}.evil.io:${server.port}`;
      assert.deepEqual(await http.send(origin), failed('dns_failed'), origin);
      assert.match(http.detail() ?? '', /is not a public address/);
    }
  }
  assert.equal(server.accepted(), 0);
});

test('T5: a name with one refused address among its answers is not connected to at all', async () => {
  await using server = await startRawServer({ host: '127.0.0.2' });
  await using inside = await startRawServer({});
  await using dns = await startDnsServer({
    'first.evil.io': { a: ['127.0.0.2', '127.0.0.1'] },
    'last.evil.io': { a: ['127.0.0.1', '127.0.0.2'] },
    'six.evil.io': { a: ['127.0.0.2'], aaaa: ['fd00::1'] },
    'late.evil.io': { a: ['127.0.0.2'], aaaa: ['::1'], delayMs: 100 },
  });
  await using http = client({ guard: allowing('127.0.0.2/32'), nameServer: dns.address });
  for (const name of ['first', 'last', 'six', 'late']) {
    const origin = `http://${name}.evil.io:${server.port}`;
    assert.deepEqual(await http.send(origin), failed('dns_failed'), name);
  }
  assert.equal(server.accepted() + inside.accepted(), 0);
});

test('T6: one look-up a connection, and the connection goes where that one said', async () => {
  await using receiver = await startReceiver(undefined, { host: '127.0.0.2' });
  await using dns = await startDnsServer({ 'rebind.evil.io': { a: ['127.0.0.2'] } });
  await using http = client({ guard: allowing('127.0.0.2/32'), nameServer: dns.address });
  const origin = `http://rebind.evil.io:${receiver.port}`;
  assert.deepEqual(await http.send(origin), success);
  assert.deepEqual(dns.questions.toSorted(), ['rebind.evil.io A', 'rebind.evil.io AAAA']);
  assert.equal(receiver.arrivals[0]?.headers['host'], `rebind.evil.io:${receiver.port}`);
});

test('T7: an open connection is used on after its name has moved; the next one is judged anew', async () => {
  let close = false;
  await using server = await startRawServer({
    host: '127.0.0.2',
    onRequest: (socket) =>
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-length: 0\r\n${close ? 'connection: close\r\n' : ''}\r\n`,
      ),
  });
  await using inside = await startRawServer({});
  await using dns = await startDnsServer({ 'rebind.evil.io': { a: ['127.0.0.2'] } });
  await using http = client({ guard: allowing('127.0.0.2/32'), nameServer: dns.address });
  const origin = `http://rebind.evil.io:${server.port}`;
  assert.deepEqual(await http.send(origin), success);
  dns.set('rebind.evil.io', { a: ['127.0.0.1'] });
  close = true;
  assert.deepEqual(await http.send(origin), success, 'on the socket that was vetted');
  await server.closed();
  assert.deepEqual(await http.send(origin), failed('dns_failed'));
  assert.equal(server.accepted(), 1);
  assert.equal(inside.accepted(), 0);
});

test('to a caller, a name that leads inside is one that leads nowhere', async () => {
  await using dns = await startDnsServer({
    'inside.acme.io': { a: ['10.0.0.1'] },
    'empty.acme.io': {},
    'broken.acme.io': { rcode: 2 },
    'refused.acme.io': { rcode: 5 },
  });
  await using http = client({ guard: allowing(''), nameServer: dns.address });
  for (const name of ['inside', 'empty', 'broken', 'refused', 'missing']) {
    assert.deepEqual(await http.send(`http://${name}.acme.io`), failed('dns_failed'), name);
    assert.equal(http.kept(), undefined);
  }
});

test('a name server that is silent for one family does not hold the other up for long', async () => {
  await using receiver = await startReceiver(undefined, { host: '127.0.0.2' });
  await using dns = await startDnsServer({
    'half.acme.io': { a: ['127.0.0.2'], silent: ['AAAA'] },
    'mute.acme.io': { silent: ['A', 'AAAA'] },
  });
  await using http = client({
    guard: allowing('127.0.0.2/32'),
    nameServer: dns.address,
    connectTimeoutMs: 400,
  });
  assert.deepEqual(await http.send(`http://half.acme.io:${receiver.port}`), success);
  assert.deepEqual(await http.send(`http://mute.acme.io:${receiver.port}`), failed('dns_failed'));
});

test('a hundred names that are never answered do not hold up one that is', async () => {
  await using receiver = await startReceiver(undefined, { host: '127.0.0.2' });
  const names = Array.from({ length: 100 }, (_, n) => `slow${n}.evil.io`);
  await using dns = await startDnsServer({
    'good.acme.io': { a: ['127.0.0.2'] },
    ...Object.fromEntries(names.map((name) => [name, { silent: ['A', 'AAAA'] }])),
  });
  await using http = client({
    guard: allowing('127.0.0.2/32'),
    nameServer: dns.address,
    connectTimeoutMs: 2_000,
  });
  const slow = names.map((name) => http.send(`http://${name}`));
  await eventually('all are asked for', () =>
    names.every((name) => dns.questions.includes(`${name} A`)),
  );
  const began = performance.now();
  assert.deepEqual(await http.send(`http://good.acme.io:${receiver.port}`), success);
  const tookMs = performance.now() - began;
  assert.ok(tookMs < 1_500, `${tookMs} ms`);
  for (const result of await Promise.all(slow)) assert.deepEqual(result, failed('dns_failed'));
});

test('a name that the operator has named is looked up as the machine does', async () => {
  await using receiver = await startReceiver();
  await using dns = await startDnsServer();
  await using http = client({ guard: allowing('localhost'), nameServer: dns.address });
  assert.deepEqual(await http.send(`http://localhost:${receiver.port}`), success);
  assert.deepEqual(dns.questions, []);
});

test('the peer is judged once more when connected: nothing is written to one that is refused', async () => {
  await using server = await startRawServer({});
  const guard: AddressGuard = {
    judgeUrl: () => undefined,
    judgeAddress: (_host, _port, address) => `${address} is refused by the test`,
    isNamed: () => false,
  };
  await using http = client({ guard });
  assert.deepEqual(await http.send(server.origin), failed('target_not_allowed'));
  await server.closed();
  assert.equal(server.received(), '');
});
