import assert from 'node:assert/strict';
import { Webhook } from 'standardwebhooks';
import { verifyWebhook } from '../../packages/client/src/index.ts';
import type { TestApp } from './app.ts';
import { request } from './http.ts';
import type { Arrival } from './receiver.ts';

/** A signing key as it is made. */
export interface Key {
  readonly id: string;
  readonly destination: string;
  readonly scheme: string;
  readonly secret: string | null;
  readonly public_key: string | null;
  readonly retires_at: string | null;
}

/** The signing keys of the project of `app`. */
export function signingKeysOf(app: TestApp) {
  async function call(method: string, path: string, body?: unknown, to = app) {
    return request(`${to.url}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  return {
    call,
    async made(body?: unknown, path = '/signing-keys'): Promise<Key> {
      const answer = await call('POST', path, body);
      assert.equal(answer.status, 201, answer.text);
      return answer.body as unknown as Key;
    },
    async removeAll(): Promise<void> {
      const { body } = await call('GET', '/signing-keys');
      for (const { id } of body['signing_keys'] as Key[]) {
        await call('DELETE', `/signing-keys/${id}`);
      }
    },
  };
}

/** Whether the receiver's own libraries take it, and with what. */
export async function isTaken(secret: string | null, { headers, body }: Arrival): Promise<boolean> {
  assert.ok(secret !== null);
  const ours = await verifyWebhook(secret, headers, body).then(
    () => true,
    () => false,
  );
  if (secret.startsWith('whsec_')) {
    const flat = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, String(v)]));
    let theirs = true;
    try {
      new Webhook(secret).verify(body, flat, { jsonParse: false });
    } catch {
      theirs = false;
    }
    assert.equal(
      theirs,
      ours,
      `both libraries say the same: ${String(headers['webhook-signature'])}`,
    );
  }
  return ours;
}
