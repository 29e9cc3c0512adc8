import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextHop, type Hop } from '../../src/delivery/redirects.ts';
import { startDnsServer } from '../support/dnsServer.ts';
import { startReceiver } from '../support/receiver.ts';
import { allowing, client, failed, success } from './fakes/client.ts';
import { drip, startRawServer } from './fakes/rawServer.ts';

test('T8: a redirect is not followed unless that is allowed; the attempt fails by its status', async () => {
  await using target = await startRawServer({});
  await using receiver = await startReceiver((res, { path }) => {
    res.writeHead(Number(path.slice(1)), { location: `${target.origin}/` }).end();
  });
  await using http = client();
  for (const status of [301, 302, 303, 307, 308]) {
    const result = await http.send(receiver.url, { path: `/${status}` });
    assert.deepEqual(result, { kind: 'response', status, errorCode: 'redirect' });
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
    errorCode: 'redirect',
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

test('T10: a name whose answer is inside is not connected to at the second hop either', async () => {
  await using inside = await startRawServer({});
  await using receiver = await startReceiver(
    (res) => void res.writeHead(307, { location: `http://inside.evil.io:${inside.port}/` }).end(),
    { host: '127.0.0.2' },
  );
  await using dns = await startDnsServer({ 'inside.evil.io': { a: ['127.0.0.1'] } });
  await using http = client({
    guard: allowing('127.0.0.2/32'),
    nameServer: dns.address,
    allowRedirects: true,
  });
  assert.deepEqual(await http.send(receiver.url), failed('dns_failed'));
  assert.equal(inside.accepted(), 0);
});

test('ports and HTTPS_ONLY hold at every hop', async () => {
  await using receiver = await startReceiver((res, { path }) => {
    res.writeHead(307, { location: path === '/port' ? 'http://8.8.8.8:25/' : '/again' }).end();
  });
  await using http = client({ allowRedirects: true });
  const result = await http.send(receiver.url, { path: '/port' });
  assert.deepEqual(result, failed('target_not_allowed'));
  assert.match(http.detail() ?? '', /port 25/);
  await using strict = client({
    guard: allowing('127.0.0.0/8', { httpsOnly: true }),
    allowRedirects: true,
  });
  assert.deepEqual(await strict.send(receiver.url), failed('target_not_allowed'));
  assert.equal(receiver.arrivals.length, 1);
});

test('T11: at another origin nothing arrives of what the owner of the timer gave, nor a signature', async () => {
  await using target = await startReceiver((res, { path }) => {
    if (path === '/back') res.writeHead(307, { location: `${receiver.url}/end` });
    res.end();
  });
  await using receiver = await startReceiver((res, { path }) => {
    if (path === '/x/7') res.writeHead(307, { location: '/same' });
    if (path === '/same') res.writeHead(307, { location: `${target.url}/back` });
    res.end();
  });
  await using http = client({ allowRedirects: true });
  const secrets = ['authorization', 'cookie', 'webhook-signature', 'x-api-key', 'traceparent'];
  const kept = ['webhook-id', 'a_7', 'content-type', 'application/json', 'user-agent', 'Belfry/1'];
  const headers = kept.concat(secrets.flatMap((name) => [name, 'secret']));
  assert.deepEqual(await http.send(receiver.url, { headers, body: Buffer.from('{}') }), success);
  const [first, same, end] = receiver.arrivals;
  const [other] = target.arrivals;
  for (const name of secrets) {
    assert.equal(first?.headers[name], 'secret');
    assert.equal(same?.headers[name], 'secret', 'the same origin');
    assert.equal(other?.headers[name], undefined, name);
    assert.equal(end?.headers[name], undefined, 'also not on the way back');
  }
  for (const arrival of [same, other, end]) {
    assert.equal(arrival?.method, 'POST');
    assert.equal(arrival?.body, '{}');
    assert.equal(arrival?.headers['content-type'], 'application/json');
    assert.equal(arrival?.headers['webhook-id'], 'a_7');
  }
});

test('one deadline holds over all hops', async () => {
  await using receiver = await startReceiver((res, { path }) => {
    const next = Number(path.slice(1)) + 1;
    setTimeout(() => res.writeHead(307, { location: `/${next}` }).end(), 200);
  });
  await using http = client({ allowRedirects: true });
  const result = await http.send(receiver.url, { path: '/0', timeoutMs: 500 });
  assert.deepEqual(result, failed('timeout'));
  assert.ok(receiver.arrivals.length <= 3, `${receiver.arrivals.length} hops`);
});

test('a redirect whose own response drips ends with the deadline, the next hop is not asked', async () => {
  await using target = await startRawServer({});
  await using server = await startRawServer({
    onRequest(socket) {
      socket.write(`HTTP/1.1 307 X\r\nlocation: ${target.origin}/\r\ncontent-length: 9999\r\n\r\n`);
      drip(socket, 'a');
    },
  });
  await using http = client({ allowRedirects: true });
  assert.deepEqual(await http.send(server.origin, { timeoutMs: 200 }), failed('timeout'));
  await server.closed();
  assert.equal(target.accepted(), 0);
});

test('a hop to another origin waits for its slot; when the deadline ends before, nothing is sent', async () => {
  await using target = await startRawServer({});
  await using receiver = await startReceiver(
    (res) => void res.writeHead(307, { location: `${target.origin}/` }).end(),
  );
  await using http = client({ allowRedirects: true });
  const asked: string[] = [];
  const result = await http.send(receiver.url, {
    timeoutMs: 150,
    changeOrigin(origin, start) {
      asked.push(origin);
      setTimeout(start, 300);
    },
  });
  assert.deepEqual(result, failed('timeout'));
  assert.deepEqual(asked, [target.origin]);
  assert.equal(target.accepted(), 0);
});

const posted: Hop = {
  origin: 'https://a.io',
  path: '/x/7?q=1',
  method: 'POST',
  headers: ['Content-Type', 'text/plain', 'content-language', 'en', 'x-own', '1'],
  body: Buffer.from('b'),
};

test('method and body go along as the Fetch standard says', () => {
  const cases: [status: number, from: Hop['method'], to: Hop['method'], hasBody: boolean][] = [
    [301, 'POST', 'GET', false],
    [302, 'POST', 'GET', false],
    [303, 'POST', 'GET', false],
    [307, 'POST', 'POST', true],
    [308, 'POST', 'POST', true],
    [301, 'PUT', 'PUT', true],
    [302, 'DELETE', 'DELETE', true],
    [303, 'PATCH', 'GET', false],
    [303, 'GET', 'GET', true],
  ];
  for (const [status, from, to, hasBody] of cases) {
    const hop = nextHop({ ...posted, method: from }, status, '/y?z#f');
    assert.equal(hop?.method, to, `${status} ${from}`);
    assert.equal(hop.body !== null, hasBody, `${status} ${from}`);
    assert.equal(hop.headers.includes('Content-Type'), hasBody, `${status} ${from}`);
    assert.ok(hop.headers.includes('x-own'));
    assert.equal(hop.origin + hop.path, 'https://a.io/y?z');
  }
});

test('a hop within the origin is signed for the body that it sends, one to another origin not at all', () => {
  const from: Hop = {
    ...posted,
    headers: [...posted.headers, 'webhook-signature', 'v1,first'],
    sign: (body) => `v1,${String(body)}`,
  };
  const signatureOf = (hop: Hop | undefined) => {
    const at = hop?.headers.indexOf('webhook-signature') ?? -1;
    return at < 0 ? undefined : hop?.headers[at + 1];
  };
  const kept = nextHop(from, 307, '/y');
  assert.equal(signatureOf(kept), 'v1,b');
  const dropped = nextHop(from, 303, '/y');
  assert.equal(signatureOf(dropped), 'v1,null');
  assert.ok(dropped !== undefined);
  assert.equal(signatureOf(nextHop(dropped, 307, '/z')), 'v1,null', 'a second one as well');
  const away = nextHop(from, 307, 'https://b.io/');
  assert.equal(signatureOf(away), undefined);
  assert.ok(away !== undefined);
  assert.equal(signatureOf(nextHop(away, 307, 'https://b.io/z')), undefined);
  assert.equal(signatureOf(nextHop(away, 307, 'https://a.io/')), undefined);
});

test('a location is read as a URL; one that is none, or leads to less, is not followed', () => {
  const to = (location: unknown, from = posted) => {
    const hop = nextHop(from, 307, location);
    return hop === undefined ? undefined : hop.origin + hop.path;
  };
  assert.equal(to('y'), 'https://a.io/x/y');
  assert.equal(to('//b.io:444'), 'https://b.io:444/');
  assert.equal(to('HTTPS://B.io/%0d%0a'), 'https://b.io/%0d%0a');
  assert.equal(to('?a'), 'https://a.io/x/7?a');
  const plain = { ...posted, origin: 'http://a.io' };
  assert.equal(to('https://a.io/', plain), 'https://a.io/');
  assert.equal(nextHop(plain, 307, 'https://a.io/')?.headers.includes('x-own'), false, 'an origin');
  for (const location of [
    'http://a.io/',
    'http://b.io/',
    'https://me:pw@b.io/',
    'https://me@a.io/',
    'ftp://a.io/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'https://[::1/',
    'https://a.io:99999/',
    undefined,
    ['https://a.io/', 'https://b.io/'],
  ]) {
    assert.equal(to(location), undefined, String(location));
  }
  for (const status of [200, 204, 300, 304, 305, 306, 309, 400, 500]) {
    assert.equal(nextHop(posted, status, '/y'), undefined, String(status));
  }
});
