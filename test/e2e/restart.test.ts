import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConnectionFile } from '../../src/store/embedded.ts';
import { makeDataDir, runningPid } from '../integration/embeddedFixture.ts';
import { startBelfry } from '../support/belfryProcess.ts';
import { openDatabase } from '../support/database.ts';
import { createOracle } from '../support/oracle.ts';
import { killPostgres } from '../support/postgresProcess.ts';
import { startReceiver } from '../support/receiver.ts';

for (const victims of ['Belfry alone', 'Belfry and PostgreSQL'] as const) {
  void test(`kill -9 of ${victims}: the next start delivers what was pending`, async (t) => {
    const dataDir = await makeDataDir(t);
    const options = {
      command: 'dev',
      environment: { DATA_DIR: dataDir, HEARTBEAT_TTL: '1' },
    } as const;
    await using receiver = await startReceiver();
    const oracle = createOracle();
    let postmaster: number;
    {
      await using belfry = await startBelfry(options);
      for (let index = 0; index < 40; index++) {
        // Claimed by the insert, claimed ahead later, and still waiting at the kill.
        const delay = [0.8, 1.5, 3, 6][index % 4];
        const { id, dueAtMs } = await belfry.timers.created({ url: receiver.url, delay });
        oracle.acknowledged(id, dueAtMs);
      }
      postmaster = await runningPid(dataDir);
      belfry.signal('SIGKILL', 'group');
      if (victims === 'Belfry and PostgreSQL') await killPostgres(postmaster);
      assert.deepEqual(await belfry.exited, { code: null, signal: 'SIGKILL' });
    }
    if (victims === 'Belfry alone') {
      assert.equal(await runningPid(dataDir), postmaster, 'PostgreSQL lives on');
    }
    const restartedAtMs = performance.now();
    await using belfry = await startBelfry(options);
    t.diagnostic(`restarted in ${Math.round(performance.now() - restartedAtMs)} ms`);
    if (victims === 'Belfry alone') {
      assert.equal(await runningPid(dataDir), postmaster, 'and is adopted');
    }
    const url = (await readConnectionFile(dataDir))?.url;
    assert.ok(url !== undefined);
    const database = openDatabase(url);
    try {
      await oracle.settled(database, 30_000);
      const verdict = await oracle.judge(database, receiver.arrivals);
      assert.equal(verdict.duplicates, 0, 'nothing was under way at the kill');
    } finally {
      await database.close();
    }
    belfry.signal('SIGTERM');
    assert.deepEqual(await belfry.exited, { code: 0, signal: null });
    await assert.rejects(runningPid(dataDir), 'also an adopted server is stopped');
  });
}
