import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { Headers as OtherHeaders } from 'undici';
import { verifyWebhook, WebhookVerificationError } from '../../packages/client/src/index.ts';

// The test vector of the Standard Webhooks libraries.
const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
const timestamp = 1_614_265_330;
const body = '{"test": 2432232314}';
const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
const nowMs = timestamp * 1_000;

const otherSecret = `whsec_${Buffer.from('another secret of some length').toString('base64')}`;

function headers(more: Record<string, string> = {}) {
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signature,
    ...more,
  };
}

function signed(key: string, text: string): string {
  const bytes = Buffer.from(key.replace('whsec_', ''), 'base64');
  return `v1,${createHmac('sha256', bytes).update(text).digest('base64')}`;
}

function refusal(reason: string) {
  return (err: unknown) => err instanceof WebhookVerificationError && err.reason === reason;
}

test('the public test vector holds, for text and bytes and in every form of headers', async () => {
  const expected = { id, timestamp: new Date(nowMs) };
  const bytes = new TextEncoder().encode(body);
  for (const rawBody of [body, bytes, bytes.buffer, Buffer.from(body)]) {
    assert.deepEqual(await verifyWebhook(secret, headers(), rawBody, { nowMs }), expected);
  }
  const upperCase = Object.fromEntries(
    Object.entries(headers()).map(([name, value]) => [name.toUpperCase(), [value]]),
  );
  for (const given of [new Headers(headers()), new OtherHeaders(headers()), upperCase]) {
    assert.deepEqual(await verifyWebhook(secret, given, body, { nowMs }), expected);
  }
  assert.ok(await verifyWebhook(secret.slice('whsec_'.length), headers(), body, { nowMs }));
});

test('one matching pair of several signatures and several secrets is enough', async () => {
  const theirs = signed(otherSecret, `${id}.${timestamp}.${body}`);
  const both = headers({ 'webhook-signature': `v1a,abc v1,%%% ${theirs} ${signature}` });
  assert.ok(await verifyWebhook(secret, both, body, { nowMs }));
  assert.ok(await verifyWebhook(otherSecret, both, body, { nowMs }));
  assert.ok(await verifyWebhook([otherSecret, secret], headers(), body, { nowMs }));
});

test('whatever differs from what was signed is refused', async () => {
  const cases: [string, Record<string, string>, string][] = [
    [secret, headers(), `${body} `],
    [secret, headers({ 'webhook-id': 'msg_other' }), body],
    [secret, headers({ 'webhook-timestamp': String(timestamp + 1) }), body],
    [secret, headers({ 'webhook-signature': signature.replace('v1,', 'v2,') }), body],
    [secret, headers({ 'webhook-signature': signature.slice(0, -5) }), body],
    [secret, headers({ 'webhook-signature': 'v1,' }), body],
    [secret, headers({ 'webhook-signature': 'v1' }), body],
    [otherSecret, headers(), body],
  ];
  for (const [key, given, rawBody] of cases) {
    await assert.rejects(
      verifyWebhook(key, given, rawBody, { nowMs }),
      refusal('no_matching_signature'),
      JSON.stringify(given),
    );
  }
});

test('a timestamp is taken within the tolerance, either way, and refused beyond it', async () => {
  const at = (ageSeconds: number, toleranceSeconds?: number) =>
    verifyWebhook(secret, headers(), body, {
      nowMs: nowMs + ageSeconds * 1_000,
      ...(toleranceSeconds === undefined ? {} : { toleranceSeconds }),
    });
  assert.ok(await at(300));
  assert.ok(await at(-300));
  await assert.rejects(at(301), refusal('timestamp_too_old'));
  await assert.rejects(at(-301), refusal('timestamp_in_future'));
  assert.ok(await at(301, 400));
  await assert.rejects(at(2, 1), refusal('timestamp_too_old'));
  await assert.rejects(verifyWebhook(secret, headers(), body), refusal('timestamp_too_old'));
});

test('a missing header and a timestamp that is none are named', async () => {
  for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature']) {
    await assert.rejects(
      verifyWebhook(secret, { ...headers(), [name]: undefined }, body, { nowMs }),
      (err: unknown) => refusal('missing_header')(err) && String(err).includes(name),
    );
  }
  for (const text of ['abc', '-1', '1e9', '1614265330.5', '9'.repeat(20)]) {
    const given = headers({ 'webhook-timestamp': text });
    await assert.rejects(verifyWebhook(secret, given, body), refusal('invalid_timestamp'), text);
  }
});

test('a secret that is none is a mistake of the receiver, not a refusal: nobody signs with an empty key', async () => {
  const forged = headers({
    'webhook-signature': `v1,${createHmac('sha256', '').update(`${id}.${timestamp}.${body}`).digest('base64')}`,
  });
  for (const wrong of ['', 'whsec_', 'whsec_%%%', []]) {
    await assert.rejects(verifyWebhook(wrong, forged, body, { nowMs }), TypeError);
  }
});
