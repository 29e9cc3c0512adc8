import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readStanding } from '../../src/store/timerStandings.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { insertMany } from '../support/storedTimers.ts';

test('what keeps a timer is read by look-ups, whatever waits beside it, under custom and generic plans', async () => {
  await using db = await createTestDatabase();
  const { database } = db;
  await insertMany(database, { count: 30_000, dueInMs: 'n' });
  await sql(
    database,
    `INSERT INTO belfry.lanes (project_id, kind, target, state) VALUES (1, 'destination', 'http://a', 'limited')`,
  );
  await sql(database, 'UPDATE belfry.timers SET parked_lane = (SELECT max(id) FROM belfry.lanes)');
  await sql(database, 'ANALYZE belfry.timers');
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    const plan = await database.session(async (client) => {
      await client.query(`SET plan_cache_mode = ${mode}`);
      await client.query(`PREPARE standing (bigint, bigint, text, text[]) AS ${readStanding.text}`);
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(
        `EXPLAIN (ANALYZE, TIMING OFF) EXECUTE standing (29000, 1, 'http://a', '{a}')`,
      );
      await client.query('DEALLOCATE standing');
      await client.query('RESET plan_cache_mode');
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    });
    assert.match(plan, /Index Scan using timers_(pkey|project_id) on timers/, plan);
    // Those before it in its lane: along the lane, and no further than they are counted.
    assert.match(
      plan,
      /Index (Only )?Scan using timers_parked[a-z_]* on timers o [^\n]*rows=10000/,
      plan,
    );
    assert.doesNotMatch(plan, /Seq Scan on (timers|history|attempts)/, plan);
  }
});
