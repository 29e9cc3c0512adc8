import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalHost } from '../../src/delivery/addressGuard.ts';
import { guardOf, stoppedAt, words, type Stopped } from './fakes/guard.ts';

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
      0x7f.1 017700000001 0xA9FEA9FE 10.1 127。0。0。1 2130706433 0x0 00000000000 0x7f.0x0.0x0.0x1
      0177.1 0300.0250.1.1 0xc0a80101 3232235777 192.168.257 172.1048577 0X7F000001 127.0.1
      0x7f.0.1 0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.16689662 127.0.0.1。 ０x7f.1
    `),
    // IPv6: all that is not in 2000::/3, and what is special inside.
    ...words(`
      [::1] [::] [::ffff:7f00:1] [::ffff:127.0.0.1] [::ffff:8.8.8.8] [::a9fe:a9fe]
      [::ffff:0:7f00:1] [64:ff9b::7f00:1] [64:ff9b::808:808] [64:ff9b:1::1] [100::1]
      [100:0:0:1::1] [fd00:ec2::254] [fc00::1] [fe80::1] [febf::1] [fec0::1] [ff02::1]
      [5f00::1] [4000::1] [1fff::1] [2002:7f00:1::] [2002::1] [2001::1] [2001:1ff:ffff::1]
      [2001:20::1] [2001:0:4136:e378:8000:63bf:3fff:fdd2] [2001:db8::1] [3fff::1]
      [3fff:fff::1] [2620:4f:8000::1] [2606:4700::5efe:7f00:1] [2606:4700:0:1:200:5efe:7f00:1]
      [2606:4700::200:5efe:a00:1] [2606:4700:1:2:0:5efe:10.0.0.1] [2606:4700::5efe:0:0]
      [2606:4700:1:2:0:5efe::] [2a00:1:2:3:200:5efe:0808:0808] [2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff]
      [2001:10::1] [2001:30::1] [2001:db8:ffff::1] [2002:ffff::1] [2002:808:808::1]
      [2620:4f:8000:ffff::1] [3fff:fff:ffff::1] [::2] [::ffff:0:0] [::ffff:a00:1] [::808:808]
      [64:ff9b::a9fe:a9fe] [64:ff9b:1:ffff::1] [100::ffff] [fdff::1] [fe80::5efe:a00:1] [feff::1]
      [ff00::] [ff0e::1] [ffff::1] [0:0:0:0:0:0:0:1] [0::ffff:192.168.1.1] [e000::1] [6000::1]
    `),
  ],
  nowhere: [
    ...words(`
      8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255
      172.32.0.0 169.253.255.255 169.255.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0
      198.17.255.255 198.20.0.0 223.255.255.255 168.63.129.15 168.63.129.17 93.184.215.14
      128.0.0.1 134744072 0x08080808 010.010.010.010 8.8.2056 ８.８.８.８ 1.0.0.1 126.255.255.255
      192.88.98.255 192.88.100.0 192.31.195.255 192.31.197.0 192.52.192.255 192.52.194.0
      192.175.47.255 192.175.49.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 191.255.255.255
      [2001:4860:4860::8888] [2606:4700::1111] [2001:200::1] [2001:db9::1]
      [2003::1] [2620:4f:8001::1] [3ffe::1] [3fff:1000::1] [2a00::1]
      [2001:db7::1] [2003:ffff::1] [2620:4f:7fff::1] [2000::1] [3ffe:ffff::1] [2606:0:5efe:1:2:3:4:5]
      [2606:4700::1:5efe:7f00:1] [2606::5efe:1:2:3:4] [2a00:1:2:3:5efe:0:7f00:1]
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
    'http://.a.io/',
    'http://a.io../',
    'http://xn--ls8h=.io/',
    'http://a!b.io/',
    'http://a$(id).io/',
    "http://a'b.io/",
    'http://a*b.io/',
    'http://a;b.io/',
    'http://a"b.io/',
    'http://a~b.io/',
    `http://${'x'.repeat(64)}.io/`,
    `http://${'x.'.repeat(127)}io/`,
    'http://1.2.3.08/',
    'http://127.0.0.0x100/',
    'http://256.256.256.256/',
    'http://4294967296/',
    'http://0x100000000/',
    'http://a.1/',
    'http://[::1/',
    'http://[::1]]/',
    'http://[::1%25lo]/',
    'http://[v1.x]/',
    'http://[1.2.3.4]/',
    'http://[::ffff:127.1]/',
    'http://hooks.acme.io:65536/',
    'http://hooks.acme.io:8o/',
    'http://hooks.acme.io:-1/',
    'http://hooks.acme.io\n/',
    'http://hooks.acme.io/\r\nX: 1',
    'http://hooks.acme.io/a b',
    'http://hooks.acme.io/\u007f',
    'ht\ntp://hooks.acme.io/',
    '\u0000http://hooks.acme.io/',
    'http:\\\\127.0.0.1\\',
    'http:/\\127.0.0.1/',
    'http:///127.0.0.1/',
    'http:127.0.0.1',
    '//127.0.0.1/',
    'http://@127.0.0.1/',
    'http://hooks.acme.io:80@127.0.0.1/',
    'http://hooks.acme.io%2f@127.0.0.1/',
    'http://hooks.acme.io%40127.0.0.1/',
    'http://hooks.acme.io%09/',
    'gopher://127.0.0.1:6379/_x',
    'ftp://hooks.acme.io/',
    'dict://127.0.0.1:11211/stat',
    'data:text/plain,x',
    'ws://hooks.acme.io/',
    'http+unix://%2Fvar%2Frun%2Fdocker.sock/',
    'view-source:http://127.0.0.1/',
    'blob:http://127.0.0.1/x',
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
    ['http://metadata/', ['169.254.169.254'], 'host'],
    ['http://kubernetes.default.svc/', ['10.96.0.1'], 'answer'],
    ['http://hooks.acme.io?@127.0.0.1/', ['93.184.215.14'], 'nowhere'],
    ['http://hooks.acme.io/@127.0.0.1', ['93.184.215.14'], 'nowhere'],
    ['http://hooks.acme.io:/', ['93.184.215.14'], 'nowhere'],
    ['http://127.0.0.1.nip.io/', ['127.0.0.1'], 'answer'],
    ['http://localtest.me/', ['127.0.0.1', '::1'], 'answer'],
    ['http://cgnat.evil.io/', ['100.64.0.1'], 'answer'],
    ['http://zero.evil.io/', ['0.0.0.0'], 'answer'],
    ['http://six.evil.io/', ['2002:a00:1::1'], 'answer'],
    ['http://unspecified.evil.io/', ['::'], 'answer'],
    ['http://multicast.evil.io/', ['224.0.0.251'], 'answer'],
    ['http://azure.evil.io/', ['168.63.129.16'], 'answer'],
    [
      'http://many.evil.io/',
      ['1.1.1.1', '2606:4700::1111', '8.8.8.8', '169.254.169.254'],
      'answer',
    ],
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

test('names that only a local network knows are refused without a look-up', () => {
  for (const host of words(`
    metadata intranet db METADATA. instance-data router.lan x.home.arpa a.b.home.arpa printer.local
    metadata.google.internal db.corp x.intranet nas.home a.private host.docker.internal
    x.localdomain ip6-localhost ⓡouter.lan router。lan
  `)) {
    assert.equal(stoppedAt(guardOf(), `http://${host}/`, ['93.184.215.14']), 'host', host);
  }
  for (const host of words(`
    lan.acme.io internal.acme.io local.io xlan.io home.io corp.com arpa.io x.arpa.io my-internal.io
  `)) {
    assert.equal(stoppedAt(guardOf(), `http://${host}/`, ['93.184.215.14']), 'nowhere', host);
  }
  const guard = guardOf({ allow: 'db,router.lan:8080,*.svc.cluster.local' });
  assert.equal(stoppedAt(guard, 'http://db/', ['10.0.0.1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://router.lan:8080/', ['10.0.0.1']), 'nowhere');
  assert.equal(stoppedAt(guard, 'http://router.lan/', ['10.0.0.1']), 'host');
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
  for (const host of ['localhost.example.com', 'notlocalhost.io', 'mylocalhost.io']) {
    assert.equal(stoppedAt(guardOf(), `http://${host}/`, ['93.184.215.14']), 'nowhere', host);
  }
});

test('the service does not call itself by its APP_DOMAIN, however it is written', () => {
  const guard = guardOf({ appDomain: 'timers.example.com' });
  for (const host of ['timers.example.com', 'TIMERS.Example.com', 'timers.example.com.']) {
    assert.equal(stoppedAt(guard, `https://${host}:8443/x`), 'host', host);
    assert.match(
      guard.judgeUrl({ protocol: 'https:', hostname: host, port: '' })?.reason ?? '',
      /APP_DOMAIN/,
    );
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

test('a host is compared in lower case, without brackets and without its final dot', () => {
  assert.equal(normalHost('Example.COM.'), 'example.com');
  assert.equal(normalHost('[2001:DB8::1]'), '2001:db8::1');
  assert.equal(normalHost('localhost'), 'localhost');
});
