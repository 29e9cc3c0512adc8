import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastify from 'fastify';
import { changeRoutes } from '../../src/api/routes/changes.ts';
import { BelfryError } from '../../src/core/errors.ts';
import { anyone } from '../../src/core/principal.ts';

test('a change that is made and cannot be read back is not answered as if nothing had changed', async () => {
  const server = fastify();
  server.decorateRequest('principal', { getter: () => anyone });
  changeRoutes(server, {
    read: () => Promise.reject(new BelfryError('store_unavailable', 'no connection')),
    update: () => Promise.resolve({ kind: 'changed' }),
    fire: () => Promise.resolve({ kind: 'changed' }),
    retry: () => Promise.resolve({ kind: 'retried' }),
    secrets: { missing: () => Promise.resolve([]) },
    rules: {
      canKeepSecrets: true,
      judgeTarget: () => undefined,
      nowMs: Date.now,
      urlLengthMax: 200,
      timeoutMaxMs: 1_000,
      retryDefaults: {
        attemptsMax: 5,
        baseMs: 1_000,
        factor: 4,
        capMs: 60_000,
        jitter: 0,
        ageMaxMs: null,
      },
    },
  });
  for (const [method, url] of [
    ['PATCH', '/timers/1'],
    ['POST', '/timers/1/fire'],
    ['POST', '/timers/1/retry'],
  ] as const) {
    const answer = await server.inject({
      method,
      url,
      ...(method === 'PATCH' ? { payload: { delay: 1 } } : {}),
    });
    assert.equal(answer.json().code, 'commit_unknown', `${method} ${url}`);
  }
  await server.close();
});
