import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { BelfryError } from '../../src/core/errors.ts';
import type { Verdict } from '../../src/core/attempt.ts';
import type { Database } from '../../src/store/database.ts';
import { createOutcomeRecorder } from '../../src/store/outcomes.ts';
import { createTimerReader } from '../../src/store/readTimers.ts';
import { createTestDatabase, openDatabase, sql } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  attemptOf,
  insertTimers,
  newTimer,
  registerOwner,
  storedAs,
} from '../support/storedTimers.ts';

const db = await createTestDatabase();
const { database } = db;
const recorder = createOutcomeRecorder(database);
const reader = createTimerReader(database);
after(() => db[Symbol.asyncDispose]());

const succeeded: Verdict = { kind: 'succeeded' };

/** A fresh timer, claimed by a process of its own. */
async function claimedTimer(options: Parameters<typeof newTimer>[0] = {}) {
  const owner = await registerOwner(database);
  const [id] = await insertTimers(database, [newTimer(options)]);
  const claimed = await owner.claimAhead();
  const timer = claimed.timers.find((candidate) => candidate.id === id);
  assert.ok(timer !== undefined);
  return { owner, timer };
}

test('success moves the timer to history whole, with its attempt', async () => {
  const body = Buffer.from('payload');
  const { timer } = await claimedTimer({
    request: { body, headers: { a: 'b' } },
    expiresAfterMs: 9e6,
  });
  const before = await storedAs(database, timer.id);
  const attempt = attemptOf(204);
  assert.equal(await recorder.add({ timer, verdict: succeeded, attempt }), 'recorded');
  const { hot, history, attempts } = await storedAs(database, timer.id);
  assert.equal(hot, undefined);
  assert.equal(history.length, 1);
  for (const column of ['due_at', 'created_at', 'expires_at', 'url', 'method', 'headers', 'body']) {
    assert.deepEqual(history[0]?.[column], before.hot?.[column], column);
  }
  assert.partialDeepStrictEqual(history[0], {
    status: 'succeeded',
    failure_code: null,
    attempts: 1,
  });
  assert.equal(attempts.length, 1);
  assert.partialDeepStrictEqual(attempts[0], {
    number: 1,
    claim: timer.claim,
    lateness_ms: 1.25,
    duration_ms: 2.5,
    status: 204,
    error_code: null,
  });
  assert.equal(Date.parse(String(attempts[0]?.['started_at'])), attempt.startedAtMs);
});

test('final failure moves to history with its code; without a start no attempt is kept', async () => {
  const gone = await claimedTimer();
  const expired = await claimedTimer();
  const failed = (code: 'gone' | 'expired'): Verdict => ({ kind: 'failed', code });
  await Promise.all([
    recorder.add({ timer: gone.timer, verdict: failed('gone'), attempt: attemptOf(410) }),
    recorder.add({ timer: expired.timer, verdict: failed('expired'), attempt: null }),
  ]);
  const [one, two] = [
    await storedAs(database, gone.timer.id),
    await storedAs(database, expired.timer.id),
  ];
  assert.partialDeepStrictEqual(one.history, [
    { status: 'failed', failure_code: 'gone', attempts: 1 },
  ]);
  assert.equal(one.attempts.length, 1);
  assert.partialDeepStrictEqual(two.history, [
    { status: 'failed', failure_code: 'expired', attempts: 0 },
  ]);
  assert.deepEqual(two.attempts, []);
});

test('a retry keeps the attempt, frees the timer and sets it due after the delay, never earlier', async () => {
  const { owner, timer } = await claimedTimer();
  const [before] = await sql<[number]>(database, 'SELECT clock_timestamp()');
  const verdict: Verdict = { kind: 'retry', delayMs: 5_000 };
  assert.equal(await recorder.add({ timer, verdict, attempt: attemptOf(503) }), 'recorded');
  const { hot, history, attempts } = await storedAs(database, timer.id);
  assert.deepEqual(history, []);
  assert.equal(attempts.length, 1);
  assert.partialDeepStrictEqual(hot, {
    owner: null,
    claim: null,
    attempts: 1,
    failures: 1,
    lost_in_row: 0,
    start_marked: false,
  });
  const nextAtMs = Date.parse(String(hot?.['next_at']));
  assert.ok(nextAtMs >= (before?.[0] ?? Infinity) + 5_000 && nextAtMs < Date.now() + 5_100);
  assert.equal(Date.parse(String(hot?.['due_at'])), timer.nextAtMs, 'due_at stays');
  assert.ok(!(await owner.claimAhead()).timers.some(({ id }) => id === timer.id));
  const again = (await owner.claimAhead({ lookAheadMs: 6_000 })).timers.find(
    ({ id }) => id === timer.id,
  );
  assert.partialDeepStrictEqual(again, { attempts: 1, failures: 1 });
});

test('a replaced claim cannot record an outcome: stale, and nothing is written', async () => {
  const { owner, timer } = await claimedTimer();
  await owner.die();
  const heir = await registerOwner(database);
  const taken = (await heir.sweep()).timers.find(({ id }) => id === timer.id);
  assert.ok(taken !== undefined);
  const before = await storedAs(database, timer.id);
  const verdicts: Verdict[] = [
    succeeded,
    { kind: 'failed', code: 'gone' },
    { kind: 'retry', delayMs: 1 },
  ];
  for (const verdict of verdicts) {
    assert.equal(await recorder.add({ timer, verdict, attempt: attemptOf(200) }), 'stale');
    assert.deepEqual(await storedAs(database, timer.id), before);
  }
  assert.equal(
    await recorder.add({ timer: { ...taken, claim: 5 }, verdict: succeeded, attempt: null }),
    'stale',
  );
  assert.equal(
    await recorder.add({ timer: taken, verdict: succeeded, attempt: attemptOf(200) }),
    'recorded',
  );
  assert.equal(
    await recorder.add({ timer: taken, verdict: succeeded, attempt: attemptOf(200) }),
    'stale',
  );
  const { history, attempts } = await storedAs(database, timer.id);
  assert.equal(history.length, 1);
  assert.deepEqual(
    attempts.map((row) => [row['number'], row['error_code']]),
    [
      [1, 'lost'],
      [2, null],
    ],
  );
});

test('in one flush, stale and good outcomes of any kind are told apart', async () => {
  const owner = await registerOwner(database);
  const ids = await insertTimers(
    database,
    Array.from({ length: 60 }, () => newTimer()),
  );
  const { timers } = await owner.claimAhead();
  const mine = timers.filter(({ id }) => ids.includes(id)).toSorted((a, b) => b.id - a.id);
  const results = await Promise.all(
    mine.map((timer, index) => {
      const verdict: Verdict = index % 2 === 0 ? succeeded : { kind: 'retry', delayMs: 1e6 };
      const fenced = index % 3 === 0 ? { ...timer, claim: timer.claim + 1 } : timer;
      return recorder.add({ timer: fenced, verdict, attempt: attemptOf(200) });
    }),
  );
  for (const [index, timer] of mine.entries()) {
    assert.equal(results[index], index % 3 === 0 ? 'stale' : 'recorded');
    const { hot, history, attempts } = await storedAs(database, timer.id);
    const isDone = index % 3 !== 0 && index % 2 === 0;
    assert.equal(history.length, isDone ? 1 : 0);
    assert.equal(hot === undefined, isDone);
    assert.equal(attempts.length, index % 3 === 0 ? 0 : 1);
  }
});

/** Loses the reply of a statement once, before or after it was committed. */
function losingReplies(name: string, when: 'before' | 'after'): Database {
  let losses = 1;
  return {
    ...database,
    async query(statement, values) {
      const isLost = statement.name === name && losses-- > 0;
      if (isLost && when === 'before') throw new BelfryError('commit_unknown', 'lost');
      const rows = await database.query(statement, values);
      if (isLost) throw new BelfryError('commit_unknown', 'lost');
      return rows as never;
    },
  };
}

for (const when of ['before', 'after'] as const) {
  test(`outcomes whose reply was lost ${when} the commit are recorded, once`, async () => {
    const losing = createOutcomeRecorder(losingReplies('record_outcomes', when));
    const verdicts: [Verdict, boolean][] = [
      [succeeded, true],
      [{ kind: 'failed', code: 'gone' }, true],
      [{ kind: 'failed', code: 'expired' }, false],
      [{ kind: 'retry', delayMs: 1e6 }, true],
    ];
    const claimed: Awaited<ReturnType<typeof claimedTimer>>[] = [];
    for (const _ of verdicts) claimed.push(await claimedTimer());
    const stale = await claimedTimer();
    const results = await Promise.all([
      ...claimed.map(({ timer }, index) => {
        const [verdict, attempted] = verdicts[index] ?? [succeeded, true];
        return losing.add({ timer, verdict, attempt: attempted ? attemptOf(200) : null });
      }),
      losing.add({
        timer: { ...stale.timer, claim: 1 },
        verdict: succeeded,
        attempt: attemptOf(200),
      }),
    ]);
    assert.deepEqual(results, ['recorded', 'recorded', 'recorded', 'recorded', 'stale']);
    for (const [index, { timer }] of claimed.entries()) {
      const { hot, history, attempts } = await storedAs(database, timer.id);
      assert.equal(history.length, index === 3 ? 0 : 1);
      assert.equal(hot === undefined, index !== 3);
      assert.equal(attempts.length, verdicts[index]?.[1] === true ? 1 : 0);
    }
  });
}

test('a lost connection to the server is outlasted: the outcome waits and is recorded', async () => {
  const worker = openDatabase(db.url);
  const { timer } = await claimedTimer();
  const patient = createOutcomeRecorder(worker);
  const recorded = await database.session(async (client) => {
    await client.query('BEGIN');
    await client.query('SELECT 1 FROM belfry.timers WHERE id = $1 FOR UPDATE', [timer.id]);
    const recording = patient.add({ timer, verdict: succeeded, attempt: attemptOf(200) });
    await eventually('the statement waits for the row, and its connection is ended', async () => {
      const ended = await sql(
        database,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return ended.length > 0;
    });
    await client.query('ROLLBACK');
    return { recording };
  });
  assert.equal(await recorded.recording, 'recorded');
  assert.equal((await storedAs(database, timer.id)).history.length, 1);
  await worker.close();
});

test('a timer is read back live and finished, by its own project only', async () => {
  const { owner, timer } = await claimedTimer({
    projectId: 7,
    delayMs: 900,
    expiresAfterMs: 5_000,
  });
  assert.equal(await reader.read(1, timer.id), undefined);
  const live = await reader.read(7, timer.id);
  assert.partialDeepStrictEqual(live?.timer, {
    id: timer.id,
    projectId: 7,
    status: 'pending',
    nextAtMs: timer.nextAtMs,
    dueAtMs: timer.nextAtMs,
    finishedAtMs: null,
    attempts: [],
  });
  assert.equal(live?.owner, owner.id);
  assert.ok((live?.ownerLapsedMs ?? 1) < 0);
  assert.ok((live?.dueInMs ?? 0) > 0 && (live?.dueInMs ?? 0) <= 900);
  assert.ok(Math.abs((live?.timer.timeLeftMs ?? 0) - (live?.dueInMs ?? 9e9)) < 1);
  await recorder.add({ timer, verdict: { kind: 'retry', delayMs: 0 }, attempt: attemptOf(500) });
  const retrying = await reader.read(7, timer.id);
  assert.equal(retrying?.timer.status, 'retrying');
  const again = (await owner.claimAhead()).timers.find(({ id }) => id === timer.id);
  assert.ok(again !== undefined);
  await recorder.add({ timer: again, verdict: succeeded, attempt: attemptOf(200) });
  const done = await reader.read(7, timer.id);
  assert.equal(await reader.read(1, timer.id), undefined);
  assert.partialDeepStrictEqual(done, { owner: null, ownerLapsedMs: null, dueInMs: 0 });
  assert.partialDeepStrictEqual(done?.timer, {
    status: 'succeeded',
    nextAtMs: null,
    timeLeftMs: 0,
    expiresAtMs: timer.expiresAtMs,
  });
  assert.deepEqual(
    done?.timer.attempts.map(({ number, status, errorCode }) => [number, status, errorCode]),
    [
      [1, 500, 'http_status'],
      [2, 200, null],
    ],
  );
});

test('timers on their way to history are always read', async () => {
  const owner = await registerOwner(database);
  const ids = await insertTimers(
    database,
    Array.from({ length: 50 }, () => newTimer()),
  );
  const { timers } = await owner.claimAhead();
  let moving = true;
  const reads = (async () => {
    while (moving) {
      for (const id of ids) assert.ok((await reader.read(1, id)) !== undefined, `timer ${id}`);
    }
  })();
  for (const timer of timers) {
    await recorder.add({ timer, verdict: succeeded, attempt: attemptOf(200) });
  }
  moving = false;
  await reads;
});
