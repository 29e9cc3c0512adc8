import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '../../src/config.ts';

const read = (environment: Record<string, string>) => readConfig('serve', environment);

test('ALLOW_TARGETS takes hosts, host:port and ranges, spelt as URLs spell them', () => {
  const { allowTargets } = read({
    ALLOW_TARGETS: 'Hooks.Internal, db:5433,10.0.0.0/8,[0:0::1]:80,FD00:0::/8,1.2.3.4:81,::1',
  }).delivery;
  assert.deepEqual(allowTargets, [
    { kind: 'host', host: 'hooks.internal', port: undefined },
    { kind: 'host', host: 'db', port: 5_433 },
    { kind: 'range', network: '10.0.0.0', prefix: 8 },
    { kind: 'host', host: '::1', port: 80 },
    { kind: 'range', network: 'fd00:0::', prefix: 8 },
    { kind: 'host', host: '1.2.3.4', port: 81 },
    { kind: 'host', host: '::1', port: undefined },
  ]);
});

test('where deliveries may go is read as it is written: names below a name, ports, a prefix, servers', () => {
  const { delivery } = read({
    DENY_TARGETS: '*.Evil.io, 8.8.8.0/24',
    ALLOW_PORTS: '443, 8000-8999',
    NAT64_PREFIX: '64:FF9B::/96',
    HTTPS_ONLY: 'true',
    DNS_SERVERS: '1.1.1.1, [::1]:5353,::1,127.0.0.1:53',
  });
  assert.deepEqual(delivery.denyTargets, [
    { kind: 'host', host: '*.evil.io', port: undefined },
    { kind: 'range', network: '8.8.8.0', prefix: 24 },
  ]);
  assert.deepEqual(delivery.allowPorts, [
    { first: 443, last: 443 },
    { first: 8_000, last: 8_999 },
  ]);
  assert.equal(delivery.nat64Prefix, '64:FF9B::');
  assert.equal(delivery.httpsOnly, true);
  assert.deepEqual(delivery.nameServers, ['1.1.1.1', '[::1]:5353', '::1', '127.0.0.1:53']);
});

test('EGRESS_PROXY: its host, port and credentials', () => {
  const proxyOf = (EGRESS_PROXY: string) => read({ EGRESS_PROXY }).delivery.egressProxy;
  assert.deepEqual(proxyOf('http://proxy.example.com:3128'), {
    host: 'proxy.example.com',
    port: 3_128,
    authorization: undefined,
  });
  assert.deepEqual(proxyOf('http://me:p%40ss@[::1]/'), {
    host: '::1',
    port: 80,
    authorization: `Basic ${Buffer.from('me:p@ss').toString('base64')}`,
  });
});
