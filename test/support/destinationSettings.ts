import assert from 'node:assert/strict';
import { request } from './http.ts';

/** Sets what is given of a destination, as `PUT /destinations/{pattern}` takes it. */
export async function setDestination(
  app: { readonly url: string },
  origin: string,
  wish: object,
): Promise<void> {
  const url = `${app.url}/destinations/${new URL(origin).host}`;
  const { status, text } = await request(url, { method: 'PUT', body: JSON.stringify(wish) });
  assert.ok(status === 200 || status === 201, text);
}

/** It has to have settings. */
export async function switchDestination(
  app: { readonly url: string },
  origin: string,
  action: 'pause' | 'resume',
): Promise<void> {
  const url = `${app.url}/destinations/${new URL(origin).host}/${action}`;
  const { status, text } = await request(url, { method: 'POST' });
  assert.equal(status, 200, text);
}
