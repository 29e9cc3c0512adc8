import assert from 'node:assert/strict';
import type { TestApp } from './app.ts';
import { sql, type TestDatabase } from './database.ts';
import { eventually } from './eventually.ts';
import type { Receiver } from './receiver.ts';

export async function parkedCount(db: TestDatabase): Promise<number> {
  const text = 'SELECT count(*) FROM belfry.timers WHERE parked_lane IS NOT NULL';
  return (await sql<[number]>(db.database, text))[0]?.[0] ?? 0;
}

/** All lanes are open, and nothing is left over. */
export async function assertSettled(db: TestDatabase): Promise<void> {
  await eventually('all lanes are open, and no timer is left', async () => {
    const rows = await sql(
      db.database,
      `SELECT id FROM belfry.lanes WHERE state <> 'open' UNION ALL SELECT id FROM belfry.timers`,
    );
    return rows.length === 0;
  });
}

/** Due at once, by each of the services in turn; resolves with their ids. */
export async function createNow(
  apps: readonly TestApp[],
  url: string,
  count: number,
): Promise<number[]> {
  const made = await Promise.all(
    Array.from({ length: count }, async (_, index) => apps[index % apps.length]?.post({ url })),
  );
  return made.map((answer) => {
    assert.equal(answer?.status, 201);
    return Number(answer.body['id']);
  });
}

export function assertEachOnce(receiver: Receiver, count: number): void {
  assert.equal(receiver.arrivals.length, count);
  assert.equal(new Set(receiver.arrivals.map(({ path }) => path)).size, count);
}
