import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Verdict } from '../../src/core/attempt.ts';
import type { TimerId } from '../../src/core/ids.ts';
import type { ClaimedTimer } from '../../src/core/timer.ts';
import { createTimerCanceller } from '../../src/store/cancelTimers.ts';
import { createClaimStore } from '../../src/store/claim.ts';
import { createOutcomeRecorder } from '../../src/store/outcomes.ts';
import { createTimerReader } from '../../src/store/readTimers.ts';
import { takeOverGuardMs } from '../../src/core/timer.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import {
  attemptOf,
  insertTimers,
  newTimer,
  registerOwner,
  type Owner,
  type Row,
} from '../support/storedTimers.ts';

/*
 * A model of the store: what each timer must look like after each command, whatever the order of
 * commands. Commands use the store's own functions; stale claims are kept and used again.
 */

const db = await createTestDatabase();
const { database } = db;
const claims = createClaimStore(database);
const recorder = createOutcomeRecorder(database);
const canceller = createTimerCanceller(database);
const reader = createTimerReader(database);
after(() => db[Symbol.asyncDispose]());

interface ModelTimer {
  readonly id: TimerId;
  readonly isFar: boolean;
  /** Null once finished. */
  hot: {
    nextAtMs: number | undefined;
    held: { owner: ModelOwner; claim: number } | undefined;
    isMarked: boolean;
    failures: number;
    lostInRow: number;
  } | null;
  status: 'pending' | 'retrying' | 'succeeded' | 'failed' | 'cancelled';
  failureCode: string | null;
  /** Error codes of the attempts, in order. */
  readonly attempts: (string | null)[];
}

interface ModelOwner {
  readonly real: Owner;
  /** When its heartbeat lapsed by the database's clock; undefined while it lives. */
  lapse: { atMs: number; agoMs: number } | undefined;
}

interface Model {
  readonly timers: Map<number, ModelTimer>;
  readonly owners: ModelOwner[];
  /** Every claim ever handed out, also those that are stale now. */
  readonly handedOut: ClaimedTimer[];
}

type Command = fc.AsyncCommand<Model, null>;

function pick<Item>(items: readonly Item[], index: number): Item {
  const item = items[index % items.length];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

const living = ({ owners }: Model) => owners.filter(({ lapse }) => lapse === undefined);

function isHeldUnder(timer: ModelTimer, { owner, claim }: ClaimedTimer): boolean {
  return timer.hot?.held?.owner.real.id === owner && timer.hot.held.claim === claim;
}

/** Whether a death of the owner costs the timer an attempt. */
function countsAsLost({ hot }: ModelTimer): boolean {
  const lapse = hot?.held?.owner.lapse;
  if (hot === null || lapse === undefined) return false;
  const wasDue = (hot.nextAtMs ?? Infinity) <= lapse.atMs;
  return wasDue && (hot.lostInRow === 0 || hot.isMarked);
}

function finish(timer: ModelTimer, status: ModelTimer['status'], code: string | null = null): void {
  timer.hot = null;
  timer.status = status;
  timer.failureCode = code;
}

/** All rows of the database, by timer. */
async function storedRows(): Promise<
  Record<'timers' | 'history' | 'attempts', Map<unknown, Row[]>>
> {
  const byTimer = (rows: readonly Row[] | null, key: string) =>
    Map.groupBy(rows ?? [], (row) => row[key]);
  const [row] = await sql<[Row[] | null, Row[] | null, Row[] | null]>(
    database,
    `SELECT (SELECT json_agg(t) FROM belfry.timers t), (SELECT json_agg(h) FROM belfry.history h),
       (SELECT json_agg(a ORDER BY number) FROM belfry.attempts a)`,
  );
  return {
    timers: byTimer(row?.[0] ?? null, 'id'),
    history: byTimer(row?.[1] ?? null, 'id'),
    attempts: byTimer(row?.[2] ?? null, 'timer_id'),
  };
}

/** The whole database, compared with the model. */
async function compare({ timers }: Model): Promise<void> {
  const stored = await storedRows();
  assert.equal(stored.timers.size + stored.history.size, timers.size, 'no timer too many');
  for (const timer of timers.values()) {
    const { id, hot, status, attempts } = timer;
    const history = stored.history.get(id) ?? [];
    const [live] = stored.timers.get(id) ?? [];
    const what = `timer ${id}`;
    assert.equal(history.length, hot === null ? 1 : 0, `${what}: rows in history`);
    assert.equal(live === undefined, hot === null, `${what}: in exactly one of both`);
    assert.deepEqual(
      stored.attempts.get(id)?.map((row) => [row['number'], row['error_code']]) ?? [],
      attempts.map((code, index) => [index + 1, code]),
      `${what}: attempts`,
    );
    const row = live ?? history[0];
    assert.equal(row?.['attempts'], attempts.length, `${what}: attempts counted`);
    if (hot === null) {
      assert.equal(row?.['status'], status);
      assert.equal(row?.['failure_code'], timer.failureCode);
    } else {
      assert.partialDeepStrictEqual(row, {
        owner: hot.held?.owner.real.id ?? null,
        claim: hot.held?.claim ?? null,
        start_marked: hot.isMarked,
        failures: hot.failures,
        lost_in_row: hot.lostInRow,
      });
    }
  }
}

/** What a caller reads, compared with the model. */
async function compareReads({ timers }: Model): Promise<void> {
  for (const { id, hot, status, attempts } of timers.values()) {
    const read = await reader.read(1, id);
    assert.equal(read?.timer.status, status, `timer ${id}: status`);
    assert.equal(read?.timer.attempts.length, attempts.length);
    assert.equal(read?.timer.nextAtMs === null, hot === null);
  }
}

/** Runs a command, and compares after it. */
function command(options: {
  name: string;
  check?: (model: Readonly<Model>) => boolean;
  run: (model: Model) => Promise<void>;
}): Command {
  return {
    check: options.check ?? (() => true),
    async run(model) {
      await options.run(model);
      await compare(model);
    },
    toString: () => options.name,
  };
}

const create = (kind: 'due' | 'overdue' | 'far') =>
  command({
    name: `create(${kind})`,
    async run({ timers }) {
      const isFar = kind === 'far';
      const [id] = await insertTimers(database, [newTimer({ delayMs: isFar ? 3_600_000 : 0 })]);
      assert.ok(id !== undefined);
      if (kind === 'overdue') {
        await sql(
          database,
          `UPDATE belfry.timers SET next_at = next_at - interval '1 minute' WHERE id = $1`,
          [id],
        );
      }
      timers.set(id, {
        id,
        isFar,
        hot: { nextAtMs: undefined, held: undefined, isMarked: false, failures: 0, lostInRow: 0 },
        status: 'pending',
        failureCode: null,
        attempts: [],
      });
    },
  });

async function newOwner(): Promise<ModelOwner> {
  return { real: await registerOwner(database), lapse: undefined };
}

const claim = (which: number, rowsMax: number, kind: 'claimAhead' | 'sweep') =>
  command({
    name: `${kind}(${which}, ${rowsMax})`,
    async run(model) {
      const owner = pick(living(model), which);
      const candidates = [...model.timers.values()].filter(
        ({ hot, isFar }) =>
          hot !== null &&
          !isFar &&
          (hot.held === undefined || (kind === 'sweep' && hot.held.owner.lapse !== undefined)),
      );
      const { timers } = await owner.real[kind]({ rowsMax });
      assert.equal(timers.length, Math.min(rowsMax, candidates.length));
      for (const taken of timers) {
        const timer = candidates.find(({ id }) => id === taken.id);
        assert.ok(timer !== undefined && timer.hot !== null, `timer ${taken.id} was not to be had`);
        if (countsAsLost(timer)) {
          timer.attempts.push('lost');
          timer.hot.lostInRow += 1;
          timer.status = 'retrying';
        }
        timer.hot.nextAtMs = taken.nextAtMs;
        timer.hot.isMarked = false;
        timer.hot.held = { owner, claim: taken.claim };
        assert.equal(taken.attempts, timer.attempts.length);
        assert.equal(taken.failures, timer.hot.failures);
        assert.equal(taken.lostInRow, timer.hot.lostInRow);
        model.handedOut.push(taken);
      }
    },
  });

/** One process dies, and another takes its place. */
const kill = (which: number, agoMs: number) =>
  command({
    name: `kill(${which}, ${agoMs} ms ago)`,
    async run(model) {
      const owner = pick(living(model), which);
      await owner.real.die(agoMs);
      const [row] = await sql<[number]>(
        database,
        'SELECT expires_at FROM belfry.processes WHERE id = $1',
        [owner.real.id],
      );
      owner.lapse = { atMs: row?.[0] ?? 0, agoMs };
      model.owners.push(await newOwner());
    },
  });

function withClaim(
  name: string,
  which: number,
  run: (taken: ClaimedTimer, timer: ModelTimer, isOurs: boolean) => Promise<void>,
): Command {
  return command({
    name: `${name}(${which})`,
    check: ({ handedOut }) => handedOut.length > 0,
    async run({ handedOut, timers }) {
      // Counted from the newest, which is the likeliest to be no stale one.
      const taken = pick(handedOut.toReversed(), which);
      const timer = timers.get(taken.id);
      assert.ok(timer !== undefined);
      await run(taken, timer, isHeldUnder(timer, taken));
    },
  });
}

const markStart = (which: number) =>
  withClaim('markStart', which, async (taken, timer, isOurs) => {
    assert.equal(await claims.markStart(taken), isOurs);
    if (isOurs && timer.hot !== null) timer.hot.isMarked = true;
  });

const release = (which: number) =>
  withClaim('release', which, async (taken, timer, isOurs) => {
    assert.deepEqual(await claims.release([taken]), isOurs ? [taken.id] : []);
    if (isOurs && timer.hot !== null) timer.hot.held = undefined;
  });

const complete = (which: number, status: number, verdict: Verdict) =>
  withClaim(`complete ${verdict.kind}`, which, async (taken, timer, isOurs) => {
    const attempt = attemptOf(status);
    const recorded = await recorder.add({ timer: taken, verdict, attempt });
    assert.equal(recorded, isOurs ? 'recorded' : 'stale');
    if (!isOurs || timer.hot === null) return;
    timer.attempts.push(attempt.errorCode);
    if (verdict.kind === 'retry') {
      timer.status = 'retrying';
      timer.hot = {
        nextAtMs: undefined,
        held: undefined,
        isMarked: false,
        failures: timer.hot.failures + 1,
        lostInRow: 0,
      };
    } else finish(timer, verdict.kind, verdict.kind === 'failed' ? verdict.code : null);
  });

/** Ends without an attempt: expired, or (after three in a row) lost too often. */
const expire = (which: number) =>
  withClaim('expire', which, async (taken, timer, isOurs) => {
    const code = taken.lostInRow >= 3 ? 'attempts_lost' : 'expired';
    const verdict: Verdict = { kind: 'failed', code };
    const recorded = await recorder.add({ timer: taken, verdict, attempt: null });
    assert.equal(recorded, isOurs ? 'recorded' : 'stale');
    if (isOurs) finish(timer, 'failed', code);
  });

const cancel = (which: number, claimed: number | null) =>
  command({
    name: `cancel(${which}, ${claimed ?? 'unfenced'})`,
    check: ({ timers }) => timers.size > 0,
    async run({ timers, handedOut }) {
      const timer = pick([...timers.values()], which);
      const own = handedOut.filter(({ id }) => id === timer.id).toReversed();
      const taken = claimed === null || own.length === 0 ? undefined : pick(own, claimed);
      const fence = taken === undefined ? null : { owner: taken.owner, claim: taken.claim };
      const { hot } = timer;
      const held = hot?.held;
      const isPastGuard = (held?.owner.lapse?.agoMs ?? 0) > takeOverGuardMs;
      const isOurs = taken !== undefined && isHeldUnder(timer, taken);
      const expected = hot !== null && (held === undefined || isOurs || isPastGuard);
      const wasLost = expected && isPastGuard && countsAsLost(timer);
      const done = await canceller.add({ projectId: 1, id: timer.id, fence });
      assert.equal(done, expected);
      if (!expected) return;
      if (wasLost) timer.attempts.push('lost');
      finish(timer, 'cancelled');
    },
  });

const which = fc.nat(5);
/** One of the last claims: mostly of timers that are held still, or were until just now. */
const recent = fc.nat(3);
const times = <Item>(count: number, item: Item) => Array.from({ length: count }, () => item);
const claimBy = (kind: 'claimAhead' | 'sweep') =>
  fc.tuple(which, fc.integer({ min: 1, max: 3 })).map(([owner, rows]) => claim(owner, rows, kind));
const commands: fc.Arbitrary<Command>[] = [
  fc.constantFrom('due', 'overdue', 'far').map(create),
  fc.constantFrom('due', 'overdue').map(create),
  ...times(4, claimBy('claimAhead')),
  ...times(4, claimBy('sweep')),
  ...times(
    3,
    fc
      .tuple(which, fc.constantFrom(0, 0, 1_000, takeOverGuardMs + 5_000))
      .map(([owner, ago]) => kill(owner, ago)),
  ),
  ...times(2, recent.map(markStart)),
  ...times(2, recent.map(release)),
  recent.map((index) => complete(index, 200, { kind: 'succeeded' })),
  ...times(
    2,
    recent.map((index) => complete(index, 503, { kind: 'retry', delayMs: 0 })),
  ),
  recent.map((index) => complete(index, 410, { kind: 'failed', code: 'gone' })),
  recent.map(expire),
  fc.tuple(which, fc.constantFrom(null, 0, 1)).map(([index, claimed]) => cancel(index, claimed)),
];

/** An empty database, two processes and three timers that are due. */
async function fresh(): Promise<Model> {
  await sql(
    database,
    'TRUNCATE belfry.timers, belfry.history, belfry.attempts, belfry.processes, belfry.give_backs',
  );
  const owners = [await newOwner(), await newOwner()];
  const model: Model = { timers: new Map(), owners, handedOut: [] };
  for (const kind of ['overdue', 'due', 'overdue'] as const) await create(kind).run(model, null);
  return model;
}

test('whatever the order of commands: one home for each timer, each outcome once, attempts 1..n, no stale write', async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: 'max' }), async (sequence) => {
      const model = await fresh();
      await fc.asyncModelRun(() => ({ model, real: null }), sequence);
      await compareReads(model);
    }),
    { numRuns: 40 },
  );
});

test('a timer that kills its process three times in a row is lost three times, and then fails', async () => {
  const model = await fresh();
  const killed = [markStart(0), kill(0, 0), kill(0, 0)];
  const steps = [
    claim(0, 1, 'claimAhead'),
    ...killed,
    ...times(2, [claim(0, 1, 'sweep'), ...killed]).flat(),
    claim(0, 1, 'sweep'),
    expire(0),
  ];
  for (const step of steps) await step.run(model, null);
  const [timer] = model.timers.values();
  assert.deepEqual(timer?.attempts, ['lost', 'lost', 'lost']);
  assert.equal(timer?.failureCode, 'attempts_lost');
  await compareReads(model);
});
