import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  BelfryApiError,
  BelfryConnectionError,
  createClient,
} from '../../packages/client/src/index.ts';
import { retryBaseMs, retryCapMs, retryDelayMs } from '../../packages/client/src/retryDelay.ts';
import { createSender, type Call } from '../../packages/client/src/sender.ts';
import { createTimersApi } from '../../packages/client/src/timersApi.ts';

type Reply = Error | { status: number; body?: unknown; headers?: Record<string, string> };

const ok: Reply = { status: 200, body: { id: 1 } };
const problem = (status: number, code: string, headers = {}): Reply => ({
  status,
  headers,
  body: { type: `urn:belfry:problem:${code}`, title: 't', status, code, detail: `about ${code}` },
});
const lost = new TypeError('fetch failed', {
  cause: Object.assign(new Error('reset'), { code: 'ECONNRESET' }),
});
const refused = new TypeError('fetch failed', {
  cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }),
});

/** A sender whose fetch gives these replies, one after another, on a clock of its own. */
function scripted(replies: readonly Reply[], options: { retries?: number } = {}) {
  const waits: number[] = [];
  const requests: { url: string; init: RequestInit }[] = [];
  let now = 0;
  const sender = createSender({
    url: 'http://belfry.test',
    token: 'secret',
    retries: options.retries ?? 4,
    timeoutMs: 30_000,
    nowMs: () => now,
    random: () => 0,
    async wait(ms) {
      waits.push(ms);
      now += ms;
    },
    async fetch(url, init) {
      const reply = replies[requests.length];
      requests.push({ url, init });
      if (reply === undefined) throw new Error('one request too many');
      if (reply instanceof Error) throw reply;
      const { status, body, headers = {} } = reply;
      return new Response(JSON.stringify(body ?? {}), { status, headers });
    },
  });
  return { sender, timers: createTimersApi(sender), waits, requests };
}

const call: Call = { method: 'GET', path: '/x', isRepeatable: true };

test('429, 503 and network errors are repeated with growing waits, until it works', async () => {
  const { sender, waits, requests } = scripted([
    lost,
    problem(503, 'store_unavailable'),
    problem(429, 'rate_limited'),
    ok,
  ]);
  assert.equal((await sender.send(call)).status, 200);
  assert.deepEqual(waits, [125, 250, 500]);
  assert.equal(requests.length, 4);
});

test('the last error comes out when the repetitions are used up', async () => {
  const { sender, requests } = scripted([lost, problem(503, 'overloaded')], { retries: 1 });
  await assert.rejects(sender.send(call), { name: 'BelfryApiError', code: 'overloaded' });
  assert.equal(requests.length, 2);
});

test('an error that repeating does not help is not repeated', async () => {
  for (const status of [400, 404, 409, 412, 422, 500]) {
    const { sender, requests } = scripted([problem(status, 'some_code')]);
    await assert.rejects(sender.send(call), (err: unknown) => {
      assert.ok(err instanceof BelfryApiError);
      assert.deepEqual(
        [err.status, err.code, err.message],
        [status, 'some_code', 'about some_code'],
      );
      return true;
    });
    assert.equal(requests.length, 1);
  }
});

test('Retry-After is the least that is waited, in seconds or as a date', async () => {
  for (const header of ['3', 'Thu, 01 Jan 1970 00:00:03 GMT']) {
    const { sender, waits } = scripted([problem(429, 'x', { 'retry-after': header }), ok]);
    await sender.send(call);
    assert.deepEqual(waits, [3_063]);
  }
});

test('a wait that would pass the timeout is not begun: the answer comes out at once', async () => {
  const { sender, waits } = scripted([problem(503, 'overloaded', { 'retry-after': '60' })]);
  await assert.rejects(sender.send(call), { code: 'overloaded', retryAfterMs: 60_000 });
  assert.deepEqual(waits, []);
});

test('what must not be done twice is repeated only when it was surely not done', async () => {
  const once: Call = { ...call, isRepeatable: false };
  const ofProxies = [502, 503, 504].map((status) => ({ status, body: '<html>' }));
  for (const unclear of [lost, problem(503, 'commit_unknown'), ...ofProxies]) {
    const { sender, requests } = scripted([unclear]);
    await assert.rejects(sender.send(once));
    assert.equal(requests.length, 1);
  }
  for (const clear of [refused, problem(503, 'overloaded'), problem(429, 'x')]) {
    const { sender, requests } = scripted([clear, ok]);
    await sender.send(once);
    assert.equal(requests.length, 2);
  }
});

test('a repeated create bears the key of the first sending, another create another', async () => {
  const { timers, requests } = scripted([lost, problem(503, 'commit_unknown'), ok, ok]);
  await timers.create({ url: 'http://a.test', seconds: 1 });
  await timers.create({ url: 'http://a.test', seconds: 1 });
  const keys = requests.map(({ init }) => new Headers(init.headers).get('idempotency-key'));
  assert.match(keys[0] ?? '', /^[0-9a-f]{32}$/);
  assert.deepEqual([keys[1], keys[2]], [keys[0], keys[0]]);
  assert.notEqual(keys[3], keys[0]);
});

test('an answer that is not the service’s is told apart from its own', async () => {
  const { sender } = scripted([{ status: 404, body: '<html>' }]);
  await assert.rejects(sender.send(call), { code: 'unexpected_response', status: 404 });
});

test('a success that is no JSON is an error of the documented kind', async () => {
  const fetch = async () => new Response('<html>log in</html>', { status: 200 });
  const client = createClient({ url: 'http://belfry.test', fetch });
  const calls = [
    () => client.timers.get(1),
    () => client.timers.batch([{ url: 'http://a.test' }]),
    () => client.timers.byKey.put('k', { url: 'http://a.test' }),
    () => client.timers.planCancel({ label: 'a' }),
    () => client.health(),
  ];
  for (const call of calls) {
    await assert.rejects(call(), { name: 'BelfryApiError', code: 'unexpected_response' });
  }
});

test('a create works where there is no randomUUID, as in pages served over http', async (t) => {
  t.mock.method(crypto, 'randomUUID', () => assert.fail('not there'));
  const { timers } = scripted([ok]);
  await timers.create({ url: 'http://a.test' });
});

test('a timeout that no timer can hold is refused, and not taken for one millisecond', async () => {
  const { timers, requests } = scripted([ok]);
  for (const timeoutMs of [Infinity, 2 ** 31, 0, NaN]) {
    await assert.rejects(timers.get(1, { timeoutMs }), TypeError);
  }
  assert.equal(requests.length, 0);
});

test('a connection error says where it went and why', async () => {
  const { sender } = scripted([refused], { retries: 0 });
  await assert.rejects(sender.send(call), (err: unknown) => {
    assert.ok(err instanceof BelfryConnectionError);
    assert.deepEqual(
      [err.url, err.reason, err.cause],
      ['http://belfry.test/x', 'refused', refused],
    );
    assert.match(err.message, /http:\/\/belfry\.test\/x: ECONNREFUSED/);
    return true;
  });
});

test('waits grow to a cap, are spread, and are never shorter than Retry-After', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000 }),
      fc.option(fc.integer({ min: 0, max: 1e6 }), { nil: undefined }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (repetition, retryAfterMs, random) => {
        const ms = retryDelayMs(repetition, retryAfterMs, () => random);
        assert.ok(Number.isInteger(ms) && ms >= (retryAfterMs ?? retryBaseMs / 2));
        assert.ok(ms <= (retryAfterMs ?? 0) + retryCapMs);
      },
    ),
  );
});
