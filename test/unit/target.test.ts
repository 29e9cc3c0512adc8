import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BelfryError } from '../../src/core/errors.ts';
import { parseTimerId, timerIdFromDatabase, type TimerId } from '../../src/core/ids.ts';
import { deliveryTarget, parseTargetUrl } from '../../src/core/target.ts';

const lengthMax = 200;
const seven = 7 as TimerId;

function isUrlRefusal(err: unknown): boolean {
  return (
    err instanceof BelfryError &&
    err.code === 'validation_failed' &&
    err.fields.length === 1 &&
    err.fields[0]?.field === 'url'
  );
}

const called = (url: string, id = seven, appendId = true) => {
  parseTargetUrl(url, lengthMax);
  const { origin, path } = deliveryTarget(url, id, appendId);
  return origin + path;
};

test('a URL without scheme, host or both slashes is refused', () => {
  const wrong: readonly unknown[] = [
    '',
    'x',
    '/x',
    '//example.com/x',
    'www.example.com',
    'example.com:80/x',
    'http:',
    'http:/',
    'http://',
    'http:/x',
    'http:x',
    'http:example.com',
    'http:///x',
    'http://?a=1',
    'http://#f',
    'http://:80/',
    'http://./',
    'http://../x',
    'http://a..b.io/',
    'http://.a.io/',
    'http://a.io../',
    'https://',
    'ftp://example.com/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'unix:/var/run/docker.sock',
    'ws://example.com/',
    'httpx://example.com/',
    'blob:http://example.com/x',
    'http://h:65536/',
    'http://h:-1/',
    'http://h:80:80/',
    'http://h:x/',
    'http://h:0/',
    'http://[::1/',
    'http://[::1]x/',
    'http://::1/',
    'http://[fe80::1%25eth0]/',
    'http://1.2.3.4.5/',
    'http://256.0.0.1/',
    'http://127.0.0.1%00.example.com/',
    'http://a%2fb/',
    'http://%20/',
    'http://h\u00a0/',
    'http://h\u3000x/',
    'http://\u00ad/',
    'http://a<b/',
    'http://a|b/',
    undefined,
    null,
    5,
    true,
    [],
    ['http://example.com/'],
    {},
  ];
  for (const value of wrong) {
    assert.throws(() => parseTargetUrl(value, lengthMax), isUrlRefusal, JSON.stringify(value));
  }
});

test('characters that the URL parser would drop or turn are refused where they stand', () => {
  for (const character of ['\0', '\t', '\n', '\r', ' ', '\u001f', '\u007f', '\\']) {
    for (const url of [
      `${character}http://example.com/x`,
      `http://exam${character}ple.com/x`,
      `http://example.com/a${character}b`,
      `http://example.com/x${character}`,
      `ht${character}tp://example.com/`,
    ]) {
      assert.throws(() => parseTargetUrl(url, lengthMax), isUrlRefusal, JSON.stringify(url));
    }
  }
  assert.throws(() => parseTargetUrl('http://hooks.acme.io\\@127.0.0.1/', lengthMax), isUrlRefusal);
});

test('credentials are refused, also empty ones; an @ after the host is not one', () => {
  for (const url of [
    'http://user:pw@example.com/',
    'http://user@example.com/',
    'http://:pw@example.com/',
    'http://@example.com/',
    'http://:@example.com/',
    'http://127.0.0.1@example.com/',
    'http://a@b@example.com/',
  ]) {
    assert.throws(
      () => parseTargetUrl(url, lengthMax),
      (err) => isUrlRefusal(err) && String(err).includes('credentials'),
      url,
    );
  }
  for (const url of ['http://example.com/@x', 'http://example.com?@', 'http://example.com#@x']) {
    assert.equal(parseTargetUrl(url, lengthMax).hostname, 'example.com');
  }
});

test('a URL of 200 characters is taken, one of 201 is refused with the name of the setting', () => {
  const of = (length: number) => 'http://example.com/'.padEnd(length, 'a');
  assert.equal(parseTargetUrl(of(200), lengthMax).href.length, 200);
  assert.throws(
    () => parseTargetUrl(of(201), lengthMax),
    (err) => isUrlRefusal(err) && /at most 200 characters \(MAX_URL_LENGTH\)/.test(String(err)),
  );
});

test('ports, IPv6, international names, capitals and one final dot are understood', () => {
  const hosts: readonly [url: string, host: string, origin: string][] = [
    ['http://h:8080/', 'h', 'http://h:8080'],
    ['http://h:80/', 'h', 'http://h'],
    ['https://h:443/', 'h', 'https://h'],
    ['https://h:80/', 'h', 'https://h:80'],
    ['http://[2001:DB8:0::1]:81/', '[2001:db8::1]', 'http://[2001:db8::1]:81'],
    ['HTTPS://HOOKS.ACME.IO/', 'hooks.acme.io', 'https://hooks.acme.io'],
    ['http://bücher.acme.io/', 'xn--bcher-kva.acme.io', 'http://xn--bcher-kva.acme.io'],
    ['http://foo_bar.acme.io/', 'foo_bar.acme.io', 'http://foo_bar.acme.io'],
    ['http://example.com./', 'example.com.', 'http://example.com.'],
    ['http://0x7f000001/', '127.0.0.1', 'http://127.0.0.1'],
    ['http://example.com', 'example.com', 'http://example.com'],
  ];
  for (const [url, host, origin] of hosts) {
    assert.equal(parseTargetUrl(url, lengthMax).hostname, host, url);
    assert.equal(deliveryTarget(url, seven, true).origin, origin, url);
  }
});

test('the id follows the path after one slash; query and fragment are dropped, the port is kept', () => {
  assert.equal(called('http://h:8080/a/b/?q=1#f'), 'http://h:8080/a/b/7');
  assert.equal(called('http://h:8080/a/b?q=1#f'), 'http://h:8080/a/b/7');
  assert.equal(called('http://h'), 'http://h/7');
  assert.equal(called('http://h/'), 'http://h/7');
  assert.equal(called('http://h?q'), 'http://h/7');
  assert.equal(called('http://h#f'), 'http://h/7');
  assert.equal(called('https://h/a//'), 'https://h/a//7');
  assert.equal(called('http://h/ü/%0d%0aX:1'), 'http://h/%C3%BC/%0d%0aX:1/7');
  assert.equal(
    called('http://h/x', 9_007_199_254_740_991 as TimerId),
    'http://h/x/9007199254740991',
  );
});

test('with append_id false the URL is called as given, query included, without its fragment', () => {
  assert.equal(called('http://h:8080/a/b/?q=1#f', seven, false), 'http://h:8080/a/b/?q=1');
  assert.equal(called('http://h:8080/a/b', seven, false), 'http://h:8080/a/b');
  assert.equal(called('http://h', seven, false), 'http://h/');
  assert.equal(called('http://h/?', seven, false), 'http://h/');
});

test('an id is a plain decimal number from 1 to 2^53 − 1, anything else is no id', () => {
  assert.equal(parseTimerId('1'), 1);
  assert.equal(parseTimerId('9007199254740991'), 2 ** 53 - 1);
  for (const garbage of [
    '',
    '0',
    '-1',
    '+1',
    '01',
    '1.0',
    '1e3',
    '0x1',
    ' 1',
    '1 ',
    '1\n',
    'abc',
    'NaN',
    'null',
    '١',
    '１',
    '1n',
    '1,2',
    '%31',
    "1' OR 1=1",
    '9007199254740992',
    '99999999999999999999999999',
    '9'.repeat(10_000),
    '\0',
  ]) {
    assert.equal(parseTimerId(garbage), undefined, JSON.stringify(garbage));
  }
});

test('an id from the database that is not one is an error', () => {
  assert.equal(timerIdFromDatabase(5), 5);
  for (const value of [0, -1, 1.5, NaN, 2 ** 53]) assert.throws(() => timerIdFromDatabase(value));
});
