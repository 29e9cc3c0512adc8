import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verifyWebhook } from '../../packages/client/src/index.ts';
import type { Outcome } from '../../src/core/attempt.ts';
import type { TimerId } from '../../src/core/ids.ts';
import { newSigningSecret, parseSigningSecret } from '../../src/core/webhookSignature.ts';
import { createDeliverer } from '../../src/delivery/deliverer.ts';
import { createDestinations } from '../../src/delivery/destinations.ts';
import type { HttpRequest, HttpResult } from '../../src/delivery/httpClient.ts';
import type { Job } from '../../src/transport/transport.ts';
import { settled } from './fakes/time.ts';
import { claimedTimer } from './fakes/timers.ts';

/** A deliverer over a client that ends requests when told, under clocks that stand still. */
function setUp(options: { perDestination?: number } = {}) {
  let databaseMs = 1e12;
  let monotonicMs = 500;
  let mayStart = true;
  const sent: {
    request: HttpRequest;
    result: (result: HttpResult) => void;
    free: () => void;
  }[] = [];
  const deliverer = createDeliverer({
    http: {
      send: (request, result, free) => sent.push({ request, result, free }),
      origins: () => 0,
      close: () => Promise.resolve(),
    },
    destinations: createDestinations({
      perDestination: options.perDestination ?? 10,
      total: 10,
      monotonicMs: () => monotonicMs,
    }),
    nowMs: () => databaseMs,
    monotonicMs: () => monotonicMs,
    installationId: 'inst',
    timeoutDefaultMs: 3_000,
  });
  return {
    deliverer,
    sent,
    pass(ms: number) {
      databaseMs += ms;
      monotonicMs += ms;
    },
    endLease: () => (mayStart = false),
    deliver(id: number, over: Partial<Job> = {}) {
      const started: true[] = [];
      const { request = claimedTimer({ id }).request } = over;
      const outcome: Promise<Outcome> = deliverer.deliver({
        timerId: id as TimerId,
        projectId: 1,
        attempt: 1,
        request,
        prepare: () => ({ request, signingKeys: [] }),
        dueAtMs: 1e12 - 5,
        expiresAtMs: null,
        mayStart: () => mayStart,
        onStart: () => started.push(true),
        ...over,
      });
      return { outcome, started };
    },
  };
}

const ok: HttpResult = { kind: 'response', status: 200, errorCode: null };

test('an attempt tells when it started, how late that was, how long it took, and its status', async () => {
  const { deliver, sent, pass } = setUp();
  const { outcome, started } = deliver(7);
  assert.equal(started.length, 1);
  pass(42);
  sent[0]?.result(ok);
  assert.deepEqual(await outcome, {
    kind: 'attempted',
    attempt: { startedAtMs: 1e12, latenessMs: 5, durationMs: 42, status: 200, errorCode: null },
  });
  assert.equal(sent[0]?.request.path, '/7');
  assert.equal(sent[0]?.request.timeoutMs, 3_000);
});

test('every attempt of a timer bears the same webhook-id', () => {
  const { deliver, sent } = setUp();
  deliver(7);
  sent[0]?.free();
  deliver(7, { attempt: 2 });
  for (const { request } of sent) {
    assert.deepEqual(request.headers.slice(0, 2), ['webhook-id', 'inst_7']);
  }
});

test('a transport error is an outcome with its code and no status', async () => {
  const { deliver, sent } = setUp();
  const { outcome } = deliver(7);
  sent[0]?.result({ kind: 'error', errorCode: 'timeout' });
  const settledAs = await outcome;
  assert.ok(settledAs.kind === 'attempted');
  assert.equal(settledAs.attempt.status, null);
  assert.equal(settledAs.attempt.errorCode, 'timeout');
});

test('what has expired is not started, to the millisecond', async () => {
  const { deliver, sent } = setUp();
  const { outcome, started } = deliver(7, { expiresAtMs: 1e12 });
  assert.deepEqual(await outcome, { kind: 'not_started', reason: 'expired' });
  assert.equal(started.length + sent.length, 0);
  deliver(8, { expiresAtMs: 1e12 + 1 });
  assert.equal(sent.length, 1);
});

test('nothing starts once the lease has ended, and a slot is not lost by that', async () => {
  const { deliver, sent, deliverer, endLease } = setUp({ perDestination: 1 });
  endLease();
  const { outcome, started } = deliver(7);
  assert.deepEqual(await outcome, { kind: 'not_started', reason: 'lease_ended' });
  assert.equal(started.length + sent.length, 0);
  assert.equal(deliverer.active(), 0);
});

test('what the client could not write any more was not started', async () => {
  const { deliver, sent, endLease } = setUp();
  const { outcome } = deliver(7);
  endLease();
  assert.equal(sent[0]?.request.mayWrite(), false);
  sent[0]?.result({ kind: 'not_written' });
  assert.deepEqual(await outcome, { kind: 'not_started', reason: 'lease_ended' });
});

test('a job that waits for a slot can be recalled, and then never starts', async () => {
  const { deliver, deliverer, sent } = setUp({ perDestination: 1 });
  deliver(1);
  const recalled = deliver(2);
  const kept = deliver(3);
  assert.equal(deliverer.recall(1 as TimerId), false, 'it has started');
  assert.equal(deliverer.recall(2 as TimerId), true);
  assert.equal(deliverer.recall(2 as TimerId), false);
  assert.deepEqual(await recalled.outcome, { kind: 'not_started', reason: 'recalled' });
  sent[0]?.result(ok);
  sent[0]?.free();
  assert.deepEqual(
    sent.map(({ request }) => request.path),
    ['/1', '/3'],
  );
  assert.deepEqual([recalled.started.length, kept.started.length], [0, 1]);
});

test('a timer that was recalled and handed over again is delivered once', async () => {
  const { deliver, deliverer, sent } = setUp({ perDestination: 1 });
  deliver(1);
  const first = deliver(2);
  assert.equal(deliverer.recall(2 as TimerId), true);
  const second = deliver(2);
  sent[0]?.free();
  await settled();
  assert.deepEqual(
    sent.map(({ request }) => request.path),
    ['/1', '/2'],
  );
  assert.deepEqual([first.started.length, second.started.length], [0, 1]);
});

test('a slot is free only when the connection is, even if the outcome came before', async () => {
  const { deliver, deliverer, sent } = setUp({ perDestination: 1 });
  const { outcome } = deliver(1);
  deliver(2);
  sent[0]?.result({ kind: 'error', errorCode: 'timeout' });
  await outcome;
  assert.equal(sent.length, 1);
  assert.equal(deliverer.active(), 1);
  sent[0]?.free();
  assert.equal(sent.length, 2);
});

test('other destinations do not wait for a slow one', () => {
  const { deliver, sent } = setUp({ perDestination: 1 });
  for (const id of [1, 2, 3]) deliver(id);
  const request = { ...claimedTimer({ id: 4 }).request, url: 'http://other.example/' };
  deliver(4, { request });
  assert.deepEqual(
    sent.map(({ request: { origin } }) => origin),
    ['http://receiver.example', 'http://other.example'],
  );
});

test('a request that is prepared goes out as it was prepared, to the origin that was waited for', async () => {
  const { deliver, sent } = setUp({ perDestination: 1 });
  const { request } = claimedTimer({ id: 1 });
  const prepared = { ...request, url: 'http://receiver.example/secret/', headers: { 'x-a': 'b' } };
  deliver(1, { prepare: () => Promise.resolve({ request: prepared, signingKeys: [] }) });
  await new Promise(setImmediate);
  assert.equal(sent[0]?.request.path, '/secret/1');
  assert.ok(sent[0].request.headers.join().includes('x-a,b'));
  sent[0].result({ kind: 'error', errorCode: 'timeout' });
  sent[0].free();

  const other = { ...request, url: 'http://other.example/' };
  const elsewhere = { request: other, signingKeys: [] };
  for (const [what, errorCode] of [
    [elsewhere, 'request_invalid'],
    ['secret_missing', 'secret_missing'],
  ] as const) {
    const { outcome, started } = deliver(2, { prepare: () => Promise.resolve(what) });
    const { kind, ...rest } = await outcome;
    assert.equal(kind, 'attempted');
    assert.partialDeepStrictEqual(rest, { attempt: { errorCode, status: null } });
    assert.equal(started.length, 1, 'it counts as an attempt');
  }
  assert.equal(sent.length, 1, 'nothing was sent, and the slot was given back');
});

test('an attempt is signed when it starts, over the id, timestamp and body that go out', async () => {
  const { deliver, sent, pass } = setUp({ perDestination: 1 });
  const secret = newSigningSecret('v1');
  const key = parseSigningSecret(secret);
  assert.ok(key !== undefined);
  const request = { ...claimedTimer({ id: 7 }).request, body: Buffer.from([0, 255]) };
  const prepare = () => ({ request, signingKeys: [key] });
  deliver(6, { request });
  deliver(7, { request, prepare });
  pass(90_000);
  sent[0]?.result({ kind: 'error', errorCode: 'timeout' });
  sent[0]?.free();
  const headersOf = (at: number) => {
    const flat = sent[at]?.request.headers ?? [];
    return Object.fromEntries(
      flat.flatMap((name, place) => (place % 2 === 0 ? [[name, flat[place + 1] ?? '']] : [])),
    );
  };
  assert.equal(headersOf(0)['webhook-signature'], undefined);
  const headers = headersOf(1);
  assert.equal(headers['webhook-timestamp'], String(1e9 + 90));
  await verifyWebhook(secret, headers, request.body, { nowMs: 1e12 + 90_000 });
  const withoutBody = { ...headers, 'webhook-signature': sent[1]?.request.sign?.(null) };
  await verifyWebhook(secret, withoutBody, '', { nowMs: 1e12 + 90_000 });
});

test('an attempt that cannot be prepared is expired or given back before it is failed', async () => {
  const { deliver, endLease } = setUp({ perDestination: 1 });
  const prepare = () => Promise.resolve('secret_missing' as const);
  const expired = await deliver(1, { prepare, expiresAtMs: 1 }).outcome;
  assert.deepEqual(expired, { kind: 'not_started', reason: 'expired' });
  endLease();
  const ended = await deliver(1, { prepare }).outcome;
  assert.deepEqual(ended, { kind: 'not_started', reason: 'lease_ended' });
});

test('a redirect to another origin gives the slot of the first back and takes one of that', async () => {
  const { deliver, sent, deliverer } = setUp({ perDestination: 1 });
  const at = (url: string) => ({ request: { ...claimedTimer({ id: 1 }).request, url } });
  void deliver(1, at('http://a.example/'));
  void deliver(2, at('http://b.example/'));
  void deliver(3, at('http://a.example/'));
  assert.equal(sent.length, 2, 'one at a time');
  let hopped = false;
  sent[0]?.request.changeOrigin('http://b.example', () => (hopped = true));
  assert.equal(sent.length, 3, 'the slot at a is free again');
  assert.equal(hopped, false, 'the one at b is not');
  sent[1]?.free();
  assert.equal(hopped, true);
  sent[0]?.free();
  sent[2]?.free();
  assert.equal(deliverer.active(), 0);
});

test('a request that cannot be sent is its own outcome, whoever gave the slot back, and frees it again', async () => {
  const { deliver, deliverer } = setUp({ perDestination: 1 });
  const { request } = claimedTimer({ id: 2 });
  const broken = () => {
    throw new Error('not what it should be');
  };
  const outcomes = await Promise.all([
    deliver(1, { prepare: broken }).outcome,
    deliver(2, {
      prepare: () => Promise.resolve().then(() => ({ request, signingKeys: null }) as never),
    }).outcome,
    deliver(3, { prepare: broken }).outcome,
  ]);
  for (const outcome of outcomes) {
    assert.ok(outcome.kind === 'attempted');
    assert.equal(outcome.attempt.errorCode, 'unprocessable');
  }
  assert.equal(deliverer.active(), 0);
});
