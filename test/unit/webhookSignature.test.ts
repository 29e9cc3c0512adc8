import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, verify, createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { verifyWebhook, WebhookVerificationError } from '../../packages/client/src/index.ts';
import {
  newSigningSecret,
  parseSigningSecret,
  webhookSignature,
  type SigningKey,
} from '../../src/core/webhookSignature.ts';

function keyOf(text: string): SigningKey {
  const key = parseSigningSecret(text);
  assert.ok(key !== undefined, text);
  return key;
}

function sent(keys: readonly SigningKey[], body: string, id = 'belfry_7') {
  const timestampSeconds = Math.floor(Date.now() / 1_000);
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampSeconds),
    'webhook-signature': webhookSignature(keys, { id, timestampSeconds, body: Buffer.from(body) }),
  };
}

test('the public test vector holds', () => {
  const key = keyOf('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
  const message = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestampSeconds: 1_614_265_330,
    body: Buffer.from('{"test": 2432232314}'),
  };
  assert.equal(webhookSignature([key], message), 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
});

test('what is signed is verified by the public library and by the client, several keys at once', async () => {
  const secrets = [newSigningSecret('v1'), newSigningSecret('v1')];
  // The library reads them as JSON as well.
  const bodies = ['{"a":1}', '"ü€😀"', JSON.stringify('x'.repeat(100_000))];
  for (const body of bodies) {
    const headers = sent(secrets.map(keyOf), body);
    assert.equal(headers['webhook-signature'].split(' ').length, 2);
    for (const secret of secrets) {
      new Webhook(secret).verify(body, headers);
      await verifyWebhook(secret, headers, body);
    }
    const stranger = newSigningSecret('v1');
    assert.throws(() => new Webhook(stranger).verify(body, headers));
  }
});

test('no body is signed as an empty one', () => {
  const keys = [keyOf(newSigningSecret('v1')), keyOf(newSigningSecret('v1a'))];
  const message = { id: 'a', timestampSeconds: 1 };
  assert.equal(
    webhookSignature(keys, { ...message, body: null }),
    webhookSignature(keys, { ...message, body: Buffer.alloc(0) }),
  );
});

test('v1a: Ed25519 over the same text, verified with the published key alone', async () => {
  const key = keyOf(newSigningSecret('v1a'));
  assert.ok(key.scheme === 'v1a' && /^whpk_[A-Za-z0-9+/]{43}=$/.test(key.publicText));
  const spki = generateKeyPairSync('ed25519')
    .publicKey.export({ format: 'der', type: 'spki' })
    .subarray(0, 12);
  const publicBytes = Buffer.from(key.publicText.slice('whpk_'.length), 'base64');
  const published = createPublicKey({
    key: Buffer.concat([spki, publicBytes]),
    format: 'der',
    type: 'spki',
  });
  const headers = sent([key], 'hello');
  const [scheme, base64 = ''] = headers['webhook-signature'].split(',');
  assert.equal(scheme, 'v1a');
  const text = (body: string) =>
    Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  const signature = Buffer.from(base64, 'base64');
  assert.ok(verify(null, text('hello'), published, signature));
  assert.ok(!verify(null, text('hellp'), published, signature));

  const secret = newSigningSecret('v1');
  const both = sent([keyOf(secret), key], 'hello');
  await verifyWebhook(key.publicText, both, 'hello');
  await verifyWebhook(secret, both, 'hello');
  await assert.rejects(verifyWebhook(key.publicText, both, 'hellp'), WebhookVerificationError);
  // A signature of one kind does not count as one of the other.
  const swapped = { ...headers, 'webhook-signature': `v1,${base64}` };
  await assert.rejects(verifyWebhook(key.publicText, swapped, 'hello'), WebhookVerificationError);
  const cut = key.publicText.slice(0, -4);
  await assert.rejects(verifyWebhook(cut, headers, 'hello'), TypeError);
});

test('RFC 8032, test 2: the key and its public half', () => {
  const seed = '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb';
  const half = '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c';
  const expected = `whpk_${Buffer.from(half, 'hex').toString('base64')}`;
  for (const hex of [seed, seed + half]) {
    const key = keyOf(`whsk_${Buffer.from(hex, 'hex').toString('base64')}`);
    assert.ok(key.scheme === 'v1a' && key.publicText === expected);
  }
  const mixedUp = `whsk_${Buffer.from(seed + seed, 'hex').toString('base64')}`;
  assert.equal(parseSigningSecret(mixedUp), undefined);
});

test('what is no secret is told', () => {
  const of = (bytes: number) => randomBytes(bytes).toString('base64');
  const bad = [
    '',
    'whsec_',
    of(32),
    `whsec_${of(23)}`,
    `whsec_${of(65)}`,
    `whsec_${of(32).slice(0, 20)} ${of(32).slice(20)}`,
    `whsec_${'-_'.repeat(20)}`,
    `whsk_${of(31)}`,
    `whsk_${of(33)}`,
    `whpk_${of(32)}`,
  ];
  for (const text of bad) assert.equal(parseSigningSecret(text), undefined, text);
  for (const text of [`whsec_${of(24)}`, `whsec_${of(64)}`, `whsec_${of(32).replace('=', '')}`]) {
    assert.ok(parseSigningSecret(text) !== undefined, text);
  }
});
