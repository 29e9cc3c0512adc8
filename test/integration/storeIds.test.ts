import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createIdStock } from '../../src/store/idStock.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

const db = await createTestDatabase();
after(() => db[Symbol.asyncDispose]());

/** The number that the sequence gives next. */
async function upcoming(): Promise<number> {
  const [row] = await sql<[number]>(db.database, 'SELECT last_value + 1 FROM belfry.timer_id');
  return row?.[0] ?? NaN;
}

test('ids that lay in stock for a minute are not handed out: ids follow the order of creation', async () => {
  let nowMs = 1_000_000;
  const stock = createIdStock(db.database, { monotonicMs: () => nowMs });
  const taken = await stock.take(10);
  const last = taken.at(-1) ?? NaN;
  // A crowd fills the stock behind it.
  await eventually('the stock is filled', async () => (await upcoming()) > last + 100);
  nowMs += 60_000;
  assert.deepEqual(await stock.take(1), [last + 1], 'within a minute the stock serves');
  nowMs += 1;
  const next = await upcoming();
  assert.deepEqual(await stock.take(1), [next], 'after it, the sequence does');
});
