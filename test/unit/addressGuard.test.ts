import assert from 'node:assert/strict';
import { test } from 'node:test';
import { targetList } from '../../src/core/settingParsers.ts';
import { parseTargetUrl } from '../../src/core/target.ts';
import {
  createAddressGuard,
  normalHost,
  type AddressGuard,
} from '../../src/delivery/addressGuard.ts';

function guardOf(options: { allow?: string; appDomain?: string } = {}): AddressGuard {
  const allowTargets = targetList.parse(options.allow ?? '');
  assert.ok(allowTargets !== undefined, `ALLOW_TARGETS takes ${options.allow}`);
  return createAddressGuard({ allowTargets, appDomain: options.appDomain });
}

/** Where a delivery is stopped: by its text, by its host, by an answer of the name server, or not. */
type Stopped = 'url' | 'host' | 'answer' | 'nowhere';

function stoppedAt(guard: AddressGuard, text: string, answers: readonly string[] = []): Stopped {
  let url: URL;
  try {
    url = parseTargetUrl(text, 200);
  } catch {
    return 'url';
  }
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  if (guard.judgeHost(url.hostname, port) !== undefined) return 'host';
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const refused = answers.some((answer) => guard.judgeAddress(host, port, answer) !== undefined);
  return refused ? 'answer' : 'nowhere';
}

const words = (text: string) => text.trim().split(/\s+/);

const literals: Readonly<Record<'host' | 'nowhere', readonly string[]>> = {
  host: [
    // IPv4, by the ranges of RFC 6890 and one address of Azure's; both ends of the larger ones.
    ...words(`
      127.0.0.1 127.255.255.255 0.0.0.0 0.255.255.255 10.0.0.1 10.255.255.255 172.16.0.0
      172.31.255.255 192.168.0.0 192.168.1.1 192.168.255.255 100.64.0.0 100.100.100.200
      100.127.255.255 169.254.169.254 169.254.169.123 192.0.0.0 192.0.0.192 192.0.2.1
      198.51.100.1 203.0.113.255 198.18.0.1 198.19.255.255 192.88.99.1 192.52.193.1
      192.31.196.1 192.175.48.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
      168.63.129.16
    `),
    // The same in other spellings: hexadecimal, octal, decimal, short, dotted, full-width, circled.
    ...words(`
      0x7f000001 0177.0.0.1 127.1 0 127.0.0.1. 2852039166 169.254.43518 ①②⑦.⓪.⓪.① １２７.0.0.1
      0x7f.1 017700000001 0xA9FEA9FE 10.1 127。0。0。1
    `),
    // IPv6: all that is not in 2000::/3, and what is special inside.
    ...words(`
      [::1] [::] [::ffff:7f00:1] [::ffff:127.0.0.1] [::ffff:8.8.8.8] [::a9fe:a9fe]
      [::ffff:0:7f00:1] [64:ff9b::7f00:1] [64:ff9b::808:808] [64:ff9b:1::1] [100::1]
      [100:0:0:1::1] [fd00:ec2::254] [fc00::1] [fe80::1] [febf::1] [fec0::1] [ff02::1]
      [5f00::1] [4000::1] [1fff::1] [2002:7f00:1::] [2002::1] [2001::1] [2001:1ff:ffff::1]
      [2001:20::1] [2001:0:4136:e378:8000:63bf:3fff:fdd2] [2001:db8::1] [3fff::1]
      [3fff:fff::1] [2620:4f:8000::1] [2606:4700::5efe:7f00:1] [2606:4700:0:1:200:5efe:7f00:1]
      [2606:4700::200:5efe:a00:1] [2606:4700:1:2:0:5efe:10.0.0.1]
    `),
  ],
  nowhere: [
    ...words(`
      8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255
      172.32.0.0 169.253.255.255 169.255.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0
      198.17.255.255 198.20.0.0 223.255.255.255 168.63.129.15 168.63.129.17 93.184.215.14
      128.0.0.1 134744072 [2001:4860:4860::8888] [2606:4700::1111] [2001:200::1] [2001:db9::1]
      [2003::1] [2620:4f:8001::1] [3ffe::1] [3fff:1000::1] [2a00::1]
    `),
  ],
};

for (const [where, hosts] of Object.entries(literals)) {
  test(`literal addresses: ${where === 'host' ? 'refused before any connection' : 'let through'}`, () => {
    const guard = guardOf();
    for (const host of hosts) {
      for (const url of [`http://${host}/`, `https://${host}:8443/x`]) {
        assert.equal(stoppedAt(guard, url), where, url);
      }
    }
  });
}

test('URLs that parsers disagree about never get as far as the guard', () => {
  for (const url of [
    'http://1.2.3.4.5/',
    'http://127.0.0.1%00.example.com/',
    'http://[fe80::1%25eth0]/',
    'http://::1/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'unix:/var/run/docker.sock',
    'http:example.com',
    'http://user:pw@hooks.acme.io/',
    'http://127.0.0.1@hooks.acme.io/',
    'http://hooks.acme.io\\@127.0.0.1/',
    'http://127.0.0.1:80\t/',
    ' http://hooks.acme.io/',
    'http://hooks.acme.io:0/',
    'http://a..b.io/',
  ]) {
    assert.equal(stoppedAt(guardOf(), url, ['93.184.215.14']), 'url', url);
  }
});

test('ordinary names are judged by the addresses that they lead to, all of them', () => {
  const cases: readonly [url: string, answers: readonly string[], stopped: Stopped][] = [
    ['http://hooks.acme.io#@127.0.0.1/', ['93.184.215.14'], 'nowhere'],
    ['http://hooks.acme.io/%0d%0aX-Evil:1', ['93.184.215.14'], 'nowhere'],
    ['https://hooks.acme.io:8443/x', ['93.184.215.14'], 'nowhere'],
    ['HTTPS://HOOKS.ACME.IO/', ['93.184.215.14'], 'nowhere'],
    ['http://bücher.acme.io/', ['93.184.215.14'], 'nowhere'],
    ['http://foo_bar.acme.io/', ['93.184.215.14', '2606:4700::1111'], 'nowhere'],
    ['http://metadata/', ['169.254.169.254'], 'answer'],
    ['http://kubernetes.default.svc/', ['10.96.0.1'], 'answer'],
    ['http://router.lan/', ['192.168.1.1'], 'answer'],
    ['http://x.home.arpa/', ['192.168.1.2'], 'answer'],
    ['http://169-254-169-254.sslip.io/', ['169.254.169.254'], 'answer'],
    ['http://v6.evil.io/', ['::1'], 'answer'],
    ['http://nat.evil.io/', ['64:ff9b::a9fe:a9fe'], 'answer'],
    ['http://mix6.evil.io/', ['93.184.215.14', 'fd00::1'], 'answer'],
    ['http://mix4.evil.io/', ['10.0.0.1', '93.184.215.14'], 'answer'],
    ['http://mapped.evil.io/', ['::ffff:127.0.0.1'], 'answer'],
    ['http://ll.evil.io/', ['fe80::1%2'], 'answer'],
    ['http://zone.evil.io/', ['2606:4700::1%eth0'], 'answer'],
    ['http://rebind.evil.io/', ['93.184.215.14'], 'nowhere'],
    ['http://rebind.evil.io/', ['10.0.0.1'], 'answer'],
  ];
  for (const [url, answers, stopped] of cases) {
    assert.equal(stoppedAt(guardOf(), url, answers), stopped, url);
  }
});

test('names of this machine are refused without a look-up', () => {
  for (const host of [
    'localhost',
    'LOCALHOST',
    'localhost.',
    'foo.localhost',
    'a.b.localhost.',
    'ⓛocalhost',
    'ｌocalhost',
  ]) {
    assert.equal(stoppedAt(guardOf(), `http://${host}:8080/x`), 'host', host);
  }
  for (const host of ['localhost.example.com', 'notlocalhost', 'mylocalhost.io']) {
    assert.equal(stoppedAt(guardOf(), `http://${host}/`, ['93.184.215.14']), 'nowhere', host);
  }
});

test('the service does not call itself by its APP_DOMAIN, however it is written', () => {
  const guard = guardOf({ appDomain: 'timers.example.com' });
  for (const host of ['timers.example.com', 'TIMERS.Example.com', 'timers.example.com.']) {
    assert.equal(stoppedAt(guard, `https://${host}:8443/x`), 'host', host);
    assert.match(guard.judgeHost(host, 443) ?? '', /APP_DOMAIN/);
  }
  for (const host of ['example.com', 'x.timers.example.com', 'timers.example.com.evil.io']) {
    assert.equal(stoppedAt(guard, `https://${host}/`, ['93.184.215.14']), 'nowhere', host);
  }
});

test('what is not an address is not public', () => {
  for (const answer of ['', 'garbage', 'localhost', '1.2.3', '1.2.3.4.5', ':::', '[::1]']) {
    assert.notEqual(guardOf().judgeAddress('x.io', 80, answer), undefined, answer);
  }
});

test('ALLOW_TARGETS: a name is allowed at any port, whatever it leads to', () => {
  const guard = guardOf({ allow: 'Hooks.Internal' });
  assert.equal(stoppedAt(guard, 'http://hooks.internal:8080/', ['10.0.0.1', '::1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://HOOKS.internal./', ['10.0.0.1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://x.hooks.internal/', ['10.0.0.1']), 'answer');
  assert.equal(stoppedAt(guard, 'http://internal/', ['10.0.0.1']), 'answer');
  assert.equal(stoppedAt(guard, 'http://10.0.0.1/'), 'host', 'its address is not allowed by that');
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
  assert.equal(stoppedAt(guard, 'http://db.internal/', ['10.1.2.3', 'fd00::1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://db.internal/', ['10.1.2.3', '10.1.2.4']), 'answer');
  assert.equal(stoppedAt(guard, 'http://db.internal:81/', ['10.9.9.9']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://db.internal:82/', ['10.9.9.9']), 'answer');
});

test('ALLOW_TARGETS: a range allows its addresses, directly and as answers, and no others', () => {
  const guard = guardOf({ allow: '10.1.0.0/16, fd00::/8, 127.0.0.1/32' });
  for (const url of ['http://10.1.0.0/', 'http://10.1.255.255:81/', 'http://[fd12::1]/']) {
    assert.equal(stoppedAt(guard, url), 'nowhere', url);
  }
  for (const url of ['http://10.2.0.0/', 'http://127.0.0.2/', 'http://[fc00::1]/']) {
    assert.equal(stoppedAt(guard, url), 'host', url);
  }
  assert.equal(stoppedAt(guard, 'http://db.internal/', ['10.1.2.3', 'fd00::1']), 'nowhere');
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

test('a host is compared in lower case, without brackets and without its final dot', () => {
  assert.equal(normalHost('Example.COM.'), 'example.com');
  assert.equal(normalHost('[2001:DB8::1]'), '2001:db8::1');
  assert.equal(normalHost('localhost'), 'localhost');
});
