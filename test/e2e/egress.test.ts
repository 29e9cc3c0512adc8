import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spawnBelfry } from '../support/belfryProcess.ts';
import { startConnectProxy } from '../support/connectProxy.ts';
import { createTestDatabase } from '../support/database.ts';
import { startReceiver } from '../support/receiver.ts';

test('T16: a service whose environment has a proxy calls directly; with EGRESS_PROXY it goes through that one', async () => {
  await using db = await createTestDatabase();
  await using receiver = await startReceiver();
  await using ambient = await startConnectProxy({});
  await using proxy = await startConnectProxy({ names: { 'hooks.acme.io': '127.0.0.1' } });
  const ambientUrl = `http://${ambient.host}:${ambient.port}`;
  const environment = {
    DATABASE_URL: db.url,
    NODE_USE_ENV_PROXY: '1',
    HTTP_PROXY: ambientUrl,
    http_proxy: ambientUrl,
    ALL_PROXY: ambientUrl,
  };
  {
    await using belfry = await spawnBelfry({
      command: 'serve',
      environment: { ...environment, ALLOW_TARGETS: '127.0.0.1' },
    });
    await belfry.ready();
    const created = await belfry.timers.create({ url: `${receiver.url}/direct`, seconds: 0 });
    assert.equal(created.status, 201);
    await receiver.arrived(1);
  }
  {
    await using belfry = await spawnBelfry({
      command: 'serve',
      environment: { ...environment, EGRESS_PROXY: `http://me:pw@${proxy.host}:${proxy.port}` },
    });
    await belfry.ready();
    const url = `http://hooks.acme.io:${receiver.port}/tunnel`;
    assert.equal((await belfry.timers.create({ url, seconds: 0 })).status, 201);
    const [, tunnelled] = await receiver.arrived(2);
    assert.match(tunnelled?.path ?? '', /^\/tunnel\//);
    const refused = await belfry.timers.create({ url: `${receiver.url}/direct`, seconds: 0 });
    assert.equal(refused.status, 403);
  }
  assert.deepEqual(ambient.requests, []);
  assert.equal(proxy.requests.length, 1);
  assert.match(proxy.requests[0] ?? '', /proxy-authorization: Basic bWU6cHc=\r\n/);
});
