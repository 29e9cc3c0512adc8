import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrate, readMigrations, schemaState, type Migration } from '../../src/store/migrate.ts';
import { ensurePartitions } from '../../src/store/partitions.ts';
import { defaultRetention, createTestDatabase, openDatabase, sql } from '../support/database.ts';

const migrations = await readMigrations();
const last = migrations.at(-1)?.version ?? 0;
const all = migrations.map(({ name }) => name);

function addition(options: Partial<Migration> = {}): Migration {
  return {
    version: last + 1,
    name: 'addition',
    text: 'CREATE TABLE belfry.addition (id integer)',
    breaking: false,
    checksum: 'abc',
    ...options,
  };
}

test('four processes that start at once on an empty database migrate it exactly once', async () => {
  await using db = await createTestDatabase({ empty: true });
  const databases = Array.from({ length: 4 }, () => openDatabase(db.url));
  try {
    assert.deepEqual(await schemaState(db.database, migrations), {
      current: false,
      applied: 0,
      expected: last,
    });
    const applied = await Promise.all(databases.map((database) => migrate(database, migrations)));
    assert.deepEqual(applied.flat().sort(), all.toSorted());
    const created = await Promise.all(
      databases.map((database) => ensurePartitions(database, defaultRetention)),
    );
    assert.equal(created.flat().length, 14);
    assert.deepEqual(await schemaState(db.database, migrations), {
      current: true,
      applied: last,
      expected: last,
    });
  } finally {
    for (const database of databases) await database.close();
  }
});

test('migrating again does nothing, and a new migration is applied alone', async () => {
  await using db = await createTestDatabase();
  assert.deepEqual(await migrate(db.database, migrations), []);
  const more = [...migrations, addition()];
  assert.equal((await schemaState(db.database, more)).current, false);
  assert.deepEqual(await migrate(db.database, more), ['addition']);
  assert.deepEqual(await migrate(db.database, more), []);
});

test('a migration that fails leaves nothing behind, and can be applied once mended', async () => {
  await using db = await createTestDatabase();
  const broken = addition({ text: 'CREATE TABLE belfry.addition (id integer); SELECT 1/0' });
  await assert.rejects(migrate(db.database, [...migrations, broken]), /division by zero/);
  const [row] = await sql<[boolean]>(db.database, `SELECT to_regclass('belfry.addition') IS NULL`);
  assert.deepEqual(row, [true]);
  assert.deepEqual(await migrate(db.database, [...migrations, addition()]), ['addition']);
});

test('a migration that was changed after it had been applied is refused', async () => {
  await using db = await createTestDatabase();
  const changed = migrations.map((migration) => ({ ...migration, checksum: 'changed' }));
  await assert.rejects(migrate(db.database, changed), (err: Error) => {
    assert.match(err.message, /^migration 1 \(\w+\) was changed after it had been applied$/);
    return true;
  });
  assert.deepEqual(await migrate(db.database, migrations), []);
});

test('a newer schema is refused when it is breaking, and accepted when it is not', async () => {
  await using db = await createTestDatabase();
  await migrate(db.database, [...migrations, addition()]);
  assert.deepEqual(await migrate(db.database, migrations), []);
  assert.deepEqual(await schemaState(db.database, migrations), {
    current: true,
    applied: last + 1,
    expected: last,
  });
  const breaking = addition({ version: last + 2, name: 'breaking', text: '', breaking: true });
  await migrate(db.database, [...migrations, addition(), breaking]);
  assert.equal((await schemaState(db.database, migrations)).current, false);
  await assert.rejects(migrate(db.database, migrations), (err: Error) => {
    assert.match(err.message, new RegExp(`^the database has migration ${last + 2}, .*upgrade`));
    return true;
  });
});

test('partitions stand for today and seven days, by the database, and a second run does nothing', async () => {
  await using db = await createTestDatabase({ empty: true });
  await migrate(db.database, migrations);
  const created = await ensurePartitions(db.database, defaultRetention);
  const days = await sql<[string, number]>(
    db.database,
    `SELECT to_char(day, 'YYYYMMDD'), row_number() OVER (ORDER BY day) - 1 FROM generate_series(
       date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC'),
       date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') + interval '7 days', '1 day') AS day`,
  );
  // Of 90 days a thirtieth is three.
  const expected = days.flatMap(([day, ahead]) =>
    (ahead % 3 === 0 ? ['history_failed', 'history_done', 'attempts'] : ['history_done']).map(
      (parent) => `${parent}_${day}`,
    ),
  );
  assert.deepEqual(created.toSorted(), expected.toSorted());
  assert.deepEqual(await ensurePartitions(db.database, defaultRetention), []);
});

const insertAttempt = `INSERT INTO belfry.attempts (timer_id, project_id, recorded_at, claim, number)
  SELECT $1, 1, date_trunc('day', clock_timestamp()) + $2 * interval '1 day', 1, 1
  RETURNING tableoid::regclass::text`;

test('rows go to the partition of their day, and to the rest outside the prepared ones', async () => {
  await using db = await createTestDatabase({ preparedToday: true });
  for (const [day, isPrepared] of [
    [0, true],
    [7, true],
    [8, true],
    [9, false],
    [-1, false],
  ] as const) {
    const [row] = await sql<[string]>(db.database, insertAttempt, [1, day]);
    assert.equal(row?.[0].endsWith('attempts_rest'), !isPrepared, `day ${day}: ${row?.[0]}`);
  }
});

test('a day whose rows already lie in the rest does not keep the other days from being prepared', async () => {
  await using db = await createTestDatabase({ empty: true });
  await migrate(db.database, migrations);
  await sql(db.database, insertAttempt, [1, 0]);
  const created = await ensurePartitions(db.database, defaultRetention);
  assert.equal(created.filter((name) => name.startsWith('attempts_')).length, 3);
  assert.equal(created.filter((name) => name.startsWith('history_')).length, 11);
  assert.deepEqual(await sql(db.database, 'SELECT count(*) FROM belfry.attempts'), [[1]]);
});
