import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AddressGuard } from '../../src/delivery/addressGuard.ts';
import { guardOf, stoppedAt } from './fakes/guard.ts';

test('ALLOW_TARGETS: a name is allowed at any port, whatever it leads to', () => {
  const guard = guardOf({ allow: 'Hooks.Internal' });
  assert.equal(stoppedAt(guard, 'http://hooks.internal:8080/', ['10.0.0.1', '::1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://HOOKS.internal./', ['10.0.0.1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://x.hooks.internal/', ['10.0.0.1']), 'host');
  assert.equal(stoppedAt(guard, 'http://hooks.io/', ['10.0.0.1']), 'answer');
  assert.equal(stoppedAt(guard, 'http://internal/', ['10.0.0.1']), 'host');
  assert.equal(stoppedAt(guard, 'http://10.0.0.1/'), 'host', 'its address is not allowed by that');
});

test('ALLOW_TARGETS: *.name is every name below it, and not itself', () => {
  const guard = guardOf({ allow: '*.Acme.internal,*.x.io:8080' });
  assert.equal(stoppedAt(guard, 'http://a.acme.internal/', ['10.0.0.1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://a.b.acme.internal:25/', ['10.0.0.1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://acme.internal/', ['10.0.0.1']), 'host');
  assert.equal(stoppedAt(guard, 'http://bacme.internal/', ['10.0.0.1']), 'host');
  assert.equal(stoppedAt(guard, 'http://a.x.io:8080/', ['10.0.0.1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://a.x.io/', ['10.0.0.1']), 'answer');
});

test('ALLOW_TARGETS: host:port is allowed at that port only', () => {
  const guard = guardOf({ allow: 'localhost:8080,10.0.0.1:80,[::1]:9000' });
  assert.equal(stoppedAt(guard, 'http://localhost:8080/', ['127.0.0.1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://localhost/', ['127.0.0.1']), 'host');
  assert.equal(stoppedAt(guard, 'http://10.0.0.1/'), 'nowhere');
  assert.equal(stoppedAt(guard, 'https://10.0.0.1/'), 'host');
  assert.equal(stoppedAt(guard, 'http://[0:0::1]:9000/'), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://[::1]:9001/'), 'host');
});

test('ALLOW_TARGETS: an address may be reached directly and by a name that leads to it', () => {
  const guard = guardOf({ allow: '10.1.2.3,fd00:0:0::1,10.9.9.9:81' });
  assert.equal(stoppedAt(guard, 'http://10.1.2.3:99/'), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://0x0a010203/'), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://[fd00::1]/'), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://db.acme.io/', ['10.1.2.3', 'fd00::1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://db.acme.io/', ['10.1.2.3', '10.1.2.4']), 'answer');
  assert.equal(stoppedAt(guard, 'http://db.acme.io:81/', ['10.9.9.9']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://db.acme.io:82/', ['10.9.9.9']), 'answer');
});

test('ALLOW_TARGETS: a range allows its addresses, directly and as answers, and no others', () => {
  const guard = guardOf({ allow: '10.1.0.0/16, fd00::/8, 127.0.0.1/32' });
  for (const url of ['http://10.1.0.0/', 'http://10.1.255.255:81/', 'http://[fd12::1]/']) {
    assert.equal(stoppedAt(guard, url), 'nowhere', url);
  }
  for (const url of ['http://10.2.0.0/', 'http://127.0.0.2/', 'http://[fc00::1]/']) {
    assert.equal(stoppedAt(guard, url), 'host', url);
  }
  assert.equal(stoppedAt(guard, 'http://db.acme.io/', ['10.1.2.3', 'fd00::1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://localhost/', ['127.0.0.1']), 'host', 'a name is a name');
});

test('ALLOW_TARGETS: an entry wins over APP_DOMAIN', () => {
  const guard = guardOf({ allow: 'timers.example.com', appDomain: 'timers.example.com' });
  assert.equal(stoppedAt(guard, 'https://timers.example.com/', ['10.0.0.1']), 'nowhere');
});

test('ALLOW_TARGETS: the default of `belfry dev` allows this machine and nothing else', () => {
  const guard = guardOf({ allow: 'localhost,127.0.0.0/8,::1' });
  for (const url of ['http://127.0.0.1:1/', 'http://127.9.9.9/', 'http://[::1]:8080/']) {
    assert.equal(stoppedAt(guard, url), 'nowhere', url);
  }
  assert.equal(stoppedAt(guard, 'http://localhost:8080/', ['127.0.0.1', '::1']), 'nowhere');
  for (const url of ['http://10.0.0.1/', 'http://169.254.169.254/', 'http://[fe80::1]/']) {
    assert.equal(stoppedAt(guard, url), 'host', url);
  }
});

test('ports of other protocols are not called, with ALLOW_PORTS none but those', () => {
  const at = (guard: AddressGuard, port: number | string) =>
    stoppedAt(guard, `http://hooks.acme.io:${port}/`, ['93.184.215.14']);
  for (const port of [1, 7, 21, 22, 23, 25, 53, 110, 143, 465, 587, 6000, 6379, 6667, 11211]) {
    assert.equal(at(guardOf(), port), 'port', String(port));
  }
  for (const port of [80, 81, 443, 3000, 5000, 8000, 8080, 8443, 9200, 49_152, 65_535]) {
    assert.equal(at(guardOf(), port), 'nowhere', String(port));
  }
  const few = guardOf({ ports: '443, 8000-8002,25' });
  for (const port of [443, 8000, 8001, 8002, 25]) assert.equal(at(few, port), 'nowhere');
  for (const port of [80, '', 444, 7999, 8003, 65_535]) assert.equal(at(few, port), 'port');
  assert.equal(stoppedAt(few, 'https://hooks.acme.io/', ['93.184.215.14']), 'nowhere');
  assert.equal(
    stoppedAt(guardOf({ allow: 'mail.acme.io:25' }), 'http://mail.acme.io:25/'),
    'nowhere',
  );
  assert.equal(stoppedAt(guardOf({ allow: '10.0.0.0/8' }), 'http://10.0.0.1:25/'), 'nowhere');
  assert.equal(
    stoppedAt(guardOf(), 'http://10.0.0.1:25/'),
    'host',
    'no way to ask for ports inside',
  );
});

test('HTTPS_ONLY: nothing goes by http, not even to what ALLOW_TARGETS names', () => {
  const guard = guardOf({ httpsOnly: true, allow: 'hooks.internal,10.0.0.0/8' });
  for (const host of ['hooks.acme.io', 'hooks.internal', '10.0.0.1', '[2606:4700::1]']) {
    assert.equal(stoppedAt(guard, `http://${host}/`), 'scheme', host);
    assert.equal(stoppedAt(guard, `https://${host}/`), 'nowhere', host);
    assert.equal(stoppedAt(guard, `http://${host}:443/`), 'scheme', host);
  }
});

test('DENY_TARGETS: public addresses and names are refused, directly and as answers', () => {
  const guard = guardOf({
    deny: '93.184.215.0/24,2606:4700::/32,evil.io,*.evil.io,hooks.acme.io:8443,1.1.1.1',
  });
  for (const url of [
    'http://93.184.215.14/',
    'http://0x5db8d70e/',
    'https://[2606:4700::1111]/',
    'http://1.1.1.1:99/',
    'http://evil.io/',
    'http://EVIL.io./',
    'http://a.b.evil.io/',
    'https://hooks.acme.io:8443/',
  ]) {
    assert.equal(stoppedAt(guard, url), 'host', url);
  }
  assert.equal(stoppedAt(guard, 'http://x.io/', ['8.8.8.8', '93.184.215.255']), 'answer');
  assert.equal(stoppedAt(guard, 'http://x.io/', ['2606:4700:ffff::1']), 'answer');
  assert.equal(stoppedAt(guard, 'http://x.io/', ['93.184.216.0', '2606:4701::1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://notevil.io/', ['8.8.8.8']), 'nowhere');
  assert.equal(stoppedAt(guard, 'https://hooks.acme.io/', ['8.8.8.8']), 'nowhere');
});

test('ALLOW_TARGETS is looked at before DENY_TARGETS', () => {
  const guard = guardOf({ allow: '10.1.0.0/16,a.evil.io', deny: '10.0.0.0/8,*.evil.io' });
  assert.equal(stoppedAt(guard, 'http://10.1.0.1/'), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://10.2.0.1/'), 'host');
  assert.equal(stoppedAt(guard, 'http://a.evil.io/', ['10.9.9.9']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://b.evil.io/', ['8.8.8.8']), 'host');
});

test('NAT64_PREFIX: an address behind it is judged as the IPv4 address that it ends with', () => {
  for (const [nat64Prefix, prefix] of [
    ['64:ff9b::', '64:ff9b::'],
    ['2a00:1:2:3:4:5::', '2a00:1:2:3:4:5:'],
  ] as const) {
    const guard = guardOf({ nat64Prefix, deny: '9.9.9.0/24', allow: '10.7.0.0/16' });
    for (const last of ['808:808', '5db8:d70e', 'a07:1']) {
      assert.equal(stoppedAt(guard, `http://[${prefix}${last}]/`), 'nowhere', last);
      assert.equal(stoppedAt(guard, 'http://x.io/', [`${prefix}${last}`]), 'nowhere', last);
    }
    for (const last of [
      '7f00:1',
      'a9fe:a9fe',
      'a00:1',
      'c0a8:101',
      '0:0',
      'ffff:ffff',
      '909:909',
    ]) {
      assert.equal(stoppedAt(guard, `http://[${prefix}${last}]/`), 'host', last);
      assert.equal(stoppedAt(guard, 'http://x.io/', [`${prefix}${last}`]), 'answer', last);
    }
  }
  const guard = guardOf({ nat64Prefix: '64:ff9b::' });
  assert.equal(stoppedAt(guard, 'http://[64:ff9b:0:0:0:1:808:808]/'), 'host', 'outside the prefix');
  assert.equal(stoppedAt(guard, 'http://[64:ff9b:1::808:808]/'), 'host');
  assert.equal(stoppedAt(guard, 'http://[::ffff:808:808]/'), 'host');
});
