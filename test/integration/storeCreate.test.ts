import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { BelfryError } from '../../src/core/errors.ts';
import type { NewTimer } from '../../src/core/timer.ts';
import { createProcessStore } from '../../src/store/processes.ts';
import { createTimerCreator } from '../../src/store/createTimers.ts';
import type { Database } from '../../src/store/database.ts';
import { createTestDatabase, openDatabase, sql } from '../support/database.ts';
import { insertTimers, newTimer, storedAs } from '../support/storedTimers.ts';

const db = await createTestDatabase();
const { database } = db;
after(() => db[Symbol.asyncDispose]());

test('ids start at 1 and count up in the order of asking', async () => {
  assert.deepEqual(await insertTimers(database, [newTimer()]), [1]);
  assert.deepEqual(await insertTimers(database, [newTimer(), newTimer(), newTimer()]), [2, 3, 4]);
});

test('two creators at once never share an id, and each counts up', async () => {
  const other = openDatabase(db.url);
  try {
    const creators = [createTimerCreator({ database }), createTimerCreator({ database: other })];
    const perCreator = await Promise.all(
      creators.map((creator) =>
        Promise.all(Array.from({ length: 1_500 }, () => creator.add(newTimer({ delayMs: 1e6 })))),
      ),
    );
    const ids = perCreator.map((created) => created.map(({ id }) => Number(id)));
    for (const own of ids)
      assert.deepEqual(
        own,
        own.toSorted((a, b) => a - b),
      );
    assert.equal(new Set(ids.flat()).size, 3_000);
  } finally {
    await other.close();
  }
});

test('what is answered is what is stored: due, created and expires to the millisecond', async () => {
  const creator = createTimerCreator({ database });
  const at = Date.UTC(2050, 0, 31, 12, 0, 0, 251);
  const timers = [
    newTimer({ delayMs: 1_234, expiresAfterMs: 777 }),
    newTimer({ due: { kind: 'at', dueAtMs: at } }),
    newTimer({ delayMs: 100 * 365.25 * 86_400_000, expiresAfterMs: 1 }),
  ];
  for (const timer of timers) {
    const { id, dueAtMs, createdAtMs } = await creator.add(timer);
    const [row] = await sql<[number, number, number, number | null]>(
      database,
      'SELECT created_at, due_at, next_at, expires_at FROM belfry.timers WHERE id = $1',
      [id],
    );
    const expiresAtMs = timer.expiresAfterMs === null ? null : dueAtMs + timer.expiresAfterMs;
    assert.deepEqual(row, [createdAtMs, dueAtMs, dueAtMs, expiresAtMs]);
    assert.ok(Number.isSafeInteger(createdAtMs));
    if (timer.due.kind === 'after') assert.equal(dueAtMs, createdAtMs + timer.due.delayMs);
    else assert.equal(dueAtMs, at);
  }
});

test('a due_at in the past is now, never before the creation', async () => {
  const creator = createTimerCreator({ database });
  for (const dueAtMs of [0, -62_167_219_200_000, Date.now() - 1]) {
    const created = await creator.add(newTimer({ due: { kind: 'at', dueAtMs } }));
    assert.equal(created.dueAtMs, created.createdAtMs);
  }
});

test('a delay is counted from an instant that is not before the request', async () => {
  const [before] = await sql<[number]>(database, 'SELECT clock_timestamp()');
  const { createdAtMs } = await createTimerCreator({ database }).add(newTimer());
  assert.ok(createdAtMs >= (before?.[0] ?? Infinity));
});

test('the request is stored as it was given, whatever characters are in it', async () => {
  const request = {
    url: 'http://127.0.0.1/a"b\\c,{}é💥\t',
    method: 'PATCH' as const,
    headers: { 'x-a': 'q"\\,{}', 'x-b': ['1', 'NULL', ''] },
    body: Buffer.from([0, 255, 34, 92, 10, 13, 44, 123]),
    appendId: false,
    timeoutMs: 12_345,
  };
  const retry = { attemptsMax: 2, baseMs: 1.5, factor: 1, capMs: 3, jitter: 0, ageMaxMs: null };
  const empty = newTimer({ request: { body: Buffer.alloc(0), url: 'NULL', headers: {} } });
  const [id = 0, emptyId = 0] = await insertTimers(database, [newTimer({ request, retry }), empty]);
  const { hot } = await storedAs(database, id);
  assert.equal(hot?.['url'], request.url);
  assert.equal(hot?.['method'], 'PATCH');
  assert.deepEqual(hot?.['headers'], request.headers);
  assert.equal(hot?.['body'], `\\x${request.body.toString('hex')}`);
  assert.equal(hot?.['append_id'], false);
  assert.equal(hot?.['timeout_ms'], 12_345);
  assert.deepEqual(hot?.['retry'], retry);
  const { hot: emptyRow } = await storedAs(database, emptyId);
  assert.equal(emptyRow?.['url'], 'NULL');
  assert.equal(emptyRow?.['body'], '\\x');
  assert.deepEqual(emptyRow?.['headers'], {});
});

/** NUL cannot be stored in text: the server refuses the row that has it. */
const guilty = () => newTimer({ request: { url: 'http://127.0.0.1/\u0000' } });

test('one row that the server refuses fails its own caller and nobody else', async () => {
  const creator = createTimerCreator({ database });
  const bad = new Set([0, 7, 8, 99, 299]);
  const timers: NewTimer[] = Array.from({ length: 300 }, (_, index) =>
    bad.has(index) ? guilty() : newTimer({ delayMs: 1e6 }),
  );
  const results = await Promise.allSettled(timers.map((timer) => creator.add(timer)));
  const ids: number[] = [];
  for (const [index, result] of results.entries()) {
    assert.equal(result.status, bad.has(index) ? 'rejected' : 'fulfilled', `row ${index}`);
    if (result.status === 'fulfilled') ids.push(result.value.id);
    else assert.ok(!(result.reason instanceof BelfryError), 'told as a refusal of the server');
  }
  const [row] = await sql<[number]>(
    database,
    'SELECT count(*) FROM belfry.timers WHERE id = ANY($1::bigint[])',
    [ids],
  );
  assert.deepEqual(row, [295]);
});

test('when the commit is unknown, the whole flush is told so, and nothing is created twice', async () => {
  let losses = 1;
  const losing: Database = {
    ...database,
    async query(statement, values) {
      const rows = await database.query(statement, values);
      if (statement.name === 'create_timers' && losses-- > 0) {
        throw new BelfryError('commit_unknown', 'the reply was lost');
      }
      return rows as never;
    },
  };
  const [before] = await sql<[number]>(database, 'SELECT count(*) FROM belfry.timers');
  const creator = createTimerCreator({ database: losing });
  const first = await Promise.allSettled(Array.from({ length: 20 }, () => creator.add(newTimer())));
  for (const result of first) {
    assert.equal(result.status, 'rejected');
    assert.equal(result.reason.code, 'commit_unknown');
  }
  await creator.add(newTimer());
  const [now] = await sql<[number]>(database, 'SELECT count(*) FROM belfry.timers');
  assert.equal((now?.[0] ?? 0) - (before?.[0] ?? 0), 21);
});

test('near timers are inserted claimed, far ones are told of, by the instants that are stored', async () => {
  const owner = 77;
  const claim = 88;
  const processes = createProcessStore(database);
  await processes.register(owner, 60_000);
  let settled: readonly { id: number; nextAtMs: number; bodyDeferred: boolean }[] = [];
  let nearest = 0;
  const creator = createTimerCreator({
    database,
    near: {
      reserve: () => ({
        owner,
        claim,
        withinMs: 2_000,
        settle: (claimed) => void (settled = claimed),
        lost: () => assert.fail(),
      }),
      committed: (dueAtMs) => void (nearest = dueAtMs),
    },
  });
  const large = { body: Buffer.alloc(16 * 1024 + 1) };
  const delays = [0, 2_000, 2_001, 60_000];
  const created = await Promise.all(
    delays.map((delayMs) => creator.add(newTimer({ delayMs, request: large }))),
  );
  assert.deepEqual(
    settled.map(({ id, nextAtMs, bodyDeferred }) => ({ id, nextAtMs, bodyDeferred })),
    created.slice(0, 2).map(({ id, dueAtMs }) => ({ id, nextAtMs: dueAtMs, bodyDeferred: true })),
  );
  assert.equal(nearest, created[2]?.dueAtMs);
  for (const [index, { id }] of created.entries()) {
    const { hot } = await storedAs(database, id);
    assert.equal(hot?.['owner'], index < 2 ? owner : null);
    assert.equal(hot?.['claim'], index < 2 ? claim : null);
  }
});

test('near timers are inserted unclaimed when their owner was declared dead meanwhile', async () => {
  const owner = 79;
  const processes = createProcessStore(database);
  await processes.register(owner, 60_000);
  await processes.retire(owner);
  let settled: readonly unknown[] | undefined;
  let nearest = 0;
  const creator = createTimerCreator({
    database,
    near: {
      reserve: () => ({
        owner,
        claim: 1,
        withinMs: 2_000,
        settle: (claimed) => void (settled = claimed),
        lost: () => assert.fail(),
      }),
      committed: (dueAtMs) => void (nearest = dueAtMs),
    },
  });
  const { id, dueAtMs } = await creator.add(newTimer({ delayMs: 500 }));
  assert.deepEqual(settled, []);
  assert.equal(nearest, dueAtMs);
  assert.equal((await storedAs(database, id)).hot?.['owner'], null);
});
