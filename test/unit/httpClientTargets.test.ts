import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AddressGuard } from '../../src/delivery/addressGuard.ts';
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

test('T5: a name with one refused address among its answers is not connected to at all', async () => {
  await using server = await startRawServer({});
  const judged: string[] = [];
  const guard: AddressGuard = {
    judgeHost: () => undefined,
    judgeAddress(_host, _port, address) {
      judged.push(address);
      return 'refused by the test';
    },
  };
  await using http = client({ guard });
  assert.deepEqual(
    await http.send(`http://localhost:${server.port}`),
    failed('target_not_allowed'),
  );
  assert.ok(judged.length > 0 && judged.every((address) => ['127.0.0.1', '::1'].includes(address)));
  assert.equal(server.accepted(), 0);
});

test('the peer is judged once more when connected: nothing is written to one that is refused', async () => {
  await using server = await startRawServer({});
  const guard: AddressGuard = {
    judgeHost: () => undefined,
    judgeAddress: (_host, _port, address) => `${address} is refused by the test`,
  };
  await using http = client({ guard });
  assert.deepEqual(await http.send(server.origin), failed('target_not_allowed'));
  await server.closed();
  assert.equal(server.received(), '');
});

test('T8: a redirect is not followed unless that is allowed; the attempt fails by its status', async () => {
  await using target = await startRawServer({});
  await using receiver = await startReceiver((res, { path }) => {
    res.writeHead(Number(path.slice(1)), { location: `${target.origin}/` }).end();
  });
  await using http = client();
  for (const status of [301, 302, 303, 307, 308]) {
    const result = await http.send(receiver.url, { path: `/${status}` });
    assert.deepEqual(result, { kind: 'response', status, errorCode: 'http_status' });
  }
  assert.equal(target.accepted(), 0);
});

test('an allowed redirect is followed with its method and body, and the last status counts', async () => {
  await using target = await startReceiver();
  await using receiver = await startReceiver((res) => {
    res.writeHead(307, { location: `${target.url}/there?q=1` }).end();
  });
  await using http = client({ allowRedirects: true });
  assert.deepEqual(await http.send(receiver.url, { body: Buffer.from('b') }), success);
  assert.deepEqual(
    target.arrivals.map(({ method, path, body }) => [method, path, body]),
    [['POST', '/there?q=1', 'b']],
  );
  assert.equal(target.arrivals[0]?.headers['webhook-id'], 'a_7');
});

test('T9: a redirect to an address that is not allowed is not connected to', async () => {
  await using target = await startRawServer({});
  await using receiver = await startReceiver((res, { path }) => {
    res.writeHead(308, { location: Buffer.from(path.slice(1), 'base64url').toString() }).end();
  });
  // Only the first hop is allowed: the other listens on the same address, at another port.
  await using http = client({
    guard: allowing(`127.0.0.1:${receiver.port}`),
    allowRedirects: true,
  });
  for (const location of [
    `http://127.0.0.1:${target.port}/`,
    `https://127.0.0.1:${target.port}/`,
    `http://localhost:${target.port}/`,
    `http://[::1]:${target.port}/`,
    'http://169.254.169.254/latest/meta-data/',
    'http://[::ffff:10.0.0.1]/',
  ]) {
    const path = `/${Buffer.from(location).toString('base64url')}`;
    assert.deepEqual(await http.send(receiver.url, { path }), failed('target_not_allowed'));
  }
  assert.equal(target.accepted(), 0);
});

test('T10: the sixth redirect is not followed', async () => {
  await using receiver = await startReceiver((res, { path }) => {
    res.writeHead(307, { location: `/${Number(path.slice(1)) + 1}` }).end();
  });
  await using http = client({ allowRedirects: true });
  assert.deepEqual(await http.send(receiver.url, { path: '/0' }), {
    kind: 'response',
    status: 307,
    errorCode: 'http_status',
  });
  assert.equal(receiver.arrivals.length, 6);
});

test('a redirect is followed to its end once the first request was sent, lease or not', async () => {
  await using target = await startReceiver();
  await using receiver = await startReceiver((res) => {
    res.writeHead(307, { location: `${target.url}/` }).end();
  });
  await using http = client({ allowRedirects: true });
  let asked = 0;
  const result = await http.send(receiver.url, { mayWrite: () => (asked += 1) === 1 });
  // To report that nothing was sent would have it sent twice.
  assert.deepEqual(result, { kind: 'response', status: 200, errorCode: null });
  assert.equal(receiver.arrivals.length, 1);
  assert.equal(target.arrivals.length, 1);
});
