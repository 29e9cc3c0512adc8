import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClaimedTimer } from '../../src/core/timer.ts';
import { createClaimer, type ClaimParked, type ClaimStore } from '../../src/scheduler/claimer.ts';
import { createDatabaseClock } from '../../src/scheduler/databaseClock.ts';
import { claimedTimer } from './fakes/timers.ts';

type Asked =
  | Parameters<ClaimStore['sweep']>[0]
  | Parameters<ClaimStore['claimAhead']>[0]
  | Parameters<ClaimStore['sweepFairly']>[0]
  | Parameters<ClaimStore['claimAheadFairly']>[0];

/** A store that answers what it is told to, and remembers what it was asked. */
function setUp(options: { catchUpRate?: number } = {}) {
  let monotonicMs = 0;
  let backlogRoom = 1_000;
  const clock = { monotonicMs: () => monotonicMs, wallMs: () => 0 };
  const databaseClock = createDatabaseClock(clock);
  const databaseNowMs = () => monotonicMs + 1_000_000;
  databaseClock.sample(databaseNowMs(), monotonicMs, monotonicMs);
  const asked: (Asked & { statement: string })[] = [];
  const calls: string[] = [];
  const answers: (readonly ClaimedTimer[] | Error)[] = [];
  const parked: ClaimParked[][] = [];
  let lanes: readonly number[] = [];
  let during: (() => void) | undefined;
  let isForgetting = true;
  function answer(statement: string, ask: Asked) {
    asked.push({ statement, ...ask });
    calls.push(statement);
    during?.();
    during = undefined;
    const timers = answers.shift() ?? [];
    if (timers instanceof Error) return Promise.reject(timers);
    const found = { timers, parked: parked.shift() ?? [] };
    return Promise.resolve({ ...found, databaseNowMs: databaseNowMs(), walkedTo: null });
  }
  const store: ClaimStore = {
    claimAhead: (ask) => answer('claimAhead', ask),
    sweep: (ask) => answer('sweep', ask),
    claimAheadFairly: (ask) => answer('claimAheadFairly', ask),
    sweepFairly: (ask) => answer('sweepFairly', ask),
    pull: () => Promise.resolve({ timers: [], databaseNowMs: databaseNowMs() }),
    probe: () => Promise.resolve({ timers: [], databaseNowMs: databaseNowMs() }),
    readClock: () => Promise.resolve(databaseNowMs()),
    declareDead: () => Promise.resolve(void calls.push('declareDead')).then(() => []),
    forget() {
      calls.push('forget');
      return isForgetting ? Promise.resolve() : Promise.reject(new Error('lost'));
    },
  };
  const claimer = createClaimer({
    store,
    clock,
    databaseClock,
    lookAheadMs: 1_000,
    catchUpRate: options.catchUpRate,
    room: {
      of: () => 1_000,
      ofBacklog: () => backlogRoom,
      holders: () => [],
      isShort: () => false,
    },
    crowdedLanes: () => lanes,
    crowd: 2,
  });
  return {
    claimer,
    parked,
    setLanes: (ids: readonly number[]) => (lanes = ids),
    asked,
    calls,
    answers,
    databaseClock,
    pass: (ms: number) => (monotonicMs += ms),
    failToForget: () => (isForgetting = false),
    fillBacklogRoom: () => (backlogRoom = 0),
    /** Runs while the next statement is under way. */
    whileAsked: (run: () => void) => (during = run),
    floors: () => asked.map(({ floor }) => floor),
  };
}

const timer = (id: number, nextAtMs: number) => claimedTimer({ id, nextAtMs });

test('the ordinary floor begins at the database clock and follows the last timer claimed', async () => {
  const { claimer, answers, floors } = setUp();
  answers.push([], [timer(9, 1_000_400), timer(3, 1_000_500), timer(7, 1_000_500)], []);
  await claimer.poll(1, 100);
  await claimer.poll(1, 100);
  await claimer.poll(1, 100);
  await claimer.poll(1, 100);
  assert.deepEqual(floors(), [
    { nextAtMs: 1_000_000, id: 0 },
    { nextAtMs: 1_000_000, id: 0 },
    { nextAtMs: 1_000_500, id: 7 },
    { nextAtMs: 1_000_500, id: 7 },
  ]);
});

test('a wake-up lowers the floor to its timer and never raises it', async () => {
  const { claimer, answers, floors } = setUp();
  answers.push([timer(5, 1_000_900)]);
  await claimer.poll(1, 100);
  claimer.lowerFloor(1_000_950);
  claimer.lowerFloor(1_000_300);
  claimer.lowerFloor(1_000_600);
  await claimer.poll(1, 100);
  assert.deepEqual(floors().at(-1), { nextAtMs: 1_000_300, id: 0 });
});

test('a wake-up at the very instant of the floor is not passed over', async () => {
  const { claimer, answers, floors } = setUp();
  answers.push([timer(5, 1_000_900)]);
  await claimer.poll(1, 100);
  claimer.lowerFloor(1_000_900);
  await claimer.poll(1, 100);
  assert.deepEqual(floors().at(-1), { nextAtMs: 1_000_900, id: 0 });
});

test('a wake-up while a poll is under way is not undone by its answer', async () => {
  const { claimer, answers, floors, whileAsked } = setUp();
  answers.push([timer(5, 1_000_900)]);
  whileAsked(() => claimer.lowerFloor(1_000_000));
  await claimer.poll(1, 100);
  await claimer.poll(1, 100);
  assert.deepEqual(floors().at(-1), { nextAtMs: 1_000_000, id: 0 });
});

test('a wake-up for later, before the first poll, hides nothing that is due sooner', async () => {
  const { claimer, floors } = setUp();
  claimer.lowerFloor(1_001_500);
  await claimer.poll(1, 100);
  assert.deepEqual(floors(), [{ nextAtMs: 1_000_000, id: 0 }]);
});

test('every statement has a claim token of its own, and its answer tells the time', async () => {
  const { claimer, asked, databaseClock, pass } = setUp();
  pass(5_000);
  await claimer.poll(42, 100);
  await claimer.sweepStep(42, 100);
  assert.equal(databaseClock.nowMs(), 1_005_000);
  assert.ok(asked.every(({ owner, lookAheadMs }) => owner === 42 && lookAheadMs === 1_000));
  assert.equal(new Set(asked.map(({ claim }) => claim)).size, asked.length);
});

const beginning = { nextAtMs: -Infinity, id: 0 };

test('a sweep that finds more goes on fairly, those that have more behind their last, until all is taken', async () => {
  const { claimer, answers, asked, calls, pass } = setUp();
  answers.push([timer(1, 10), timer(2, 20)], [timer(3, 20), timer(4, 30)], [timer(5, 40)], []);
  await claimer.sweepStep(1, 2);
  assert.equal(claimer.hasMore(), true);
  await claimer.sweepStep(1, 2);
  await claimer.sweepStep(1, 2);
  const [first, walk, rest] = asked.map((ask) => ('known' in ask ? ask : undefined));
  assert.equal(first, undefined);
  assert.deepEqual([walk?.walkFrom, walk?.floor, walk?.known], [0, beginning, []]);
  assert.equal(rest?.walkFrom, 1, 'it was cut short at project 1, and goes on behind it');
  assert.equal(claimer.hasMore(), true, 'project 1 is behind');
  await claimer.sweepStep(1, 2);
  const behind = asked.at(-1);
  assert.ok(behind !== undefined && 'known' in behind && behind.walkFrom === null);
  assert.deepEqual(behind.known, [{ projectId: 1, floor: { nextAtMs: 30, id: 4 }, most: 2 }]);
  assert.equal(claimer.hasMore(), false);
  assert.deepEqual(
    (await claimer.sweepStep(1, 2)).timers,
    [],
    'nobody is behind, and no walk is due',
  );
  assert.equal(claimer.sweepDueInMs(), 1_000);
  pass(1_000);
  await claimer.sweepStep(1, 2);
  assert.equal(calls.includes('forget'), false, 'the pass is over just now');
  assert.equal(claimer.sweepDueInMs(), 1_000);
  pass(1_000);
  await claimer.sweepStep(1, 2);
  assert.deepEqual(calls.slice(-3), ['forget', 'declareDead', 'sweep']);
});

test('what a sweep has claimed is handed over, whatever fails after it', async () => {
  const { claimer, answers, calls, pass, failToForget } = setUp();
  failToForget();
  const lost: unknown[] = [];
  const handedOver: number[] = [];
  answers.push([timer(1, 10)], [timer(2, 20)], [timer(3, 30)]);
  for (let step = 0; step < 6; step++) {
    await claimer.sweepStep(1, 100).then(
      ({ timers }) => handedOver.push(...timers.map(({ id }) => id)),
      (err: unknown) => lost.push(err),
    );
    pass(1_000);
  }
  assert.deepEqual(handedOver, [1, 2, 3]);
  assert.ok(lost.length > 0);
  assert.equal(answers.length, 0);
  assert.ok(calls.includes('forget'));
});

test('a backlog that has no room is not asked for again at once', async () => {
  const { claimer, answers, asked, fillBacklogRoom } = setUp();
  answers.push([timer(1, 10), timer(2, 20)]);
  await claimer.sweepStep(1, 2);
  assert.equal(claimer.hasMore(), true);
  fillBacklogRoom();
  assert.equal(claimer.hasMore(), false);
  assert.ok(claimer.sweepDueInMs() > 0);
  assert.deepEqual((await claimer.sweepStep(1, 2)).timers, []);
  assert.equal(asked.length, 1);
});

test('a sweep that fails goes on from where it was, and is not taken for the end of a pass', async () => {
  const { claimer, answers, floors, calls, pass } = setUp();
  answers.push(new Error('lost'), []);
  await assert.rejects(claimer.sweepStep(1, 2));
  assert.equal(calls.includes('forget'), false);
  await claimer.sweepStep(1, 2);
  assert.deepEqual(floors(), [beginning, beginning]);
  assert.equal(calls.includes('forget'), false);
  pass(1_000);
  await claimer.sweepStep(1, 2);
  assert.equal(calls.filter((call) => call === 'forget').length, 1);
});

test('a poll that finds more goes on fairly from where it was, and plainly once all is taken', async () => {
  const { claimer, answers, asked, pass } = setUp();
  answers.push([timer(1, 1_000_010), timer(2, 1_000_020)], [], []);
  await claimer.poll(1, 2);
  assert.equal(claimer.hasMore(), true);
  pass(50);
  await claimer.poll(1, 2);
  const walk = asked.at(-1);
  assert.ok(walk !== undefined && 'walkFrom' in walk);
  assert.deepEqual([walk.walkFrom, walk.floor], [0, { nextAtMs: 1_000_020, id: 2 }]);
  assert.equal(claimer.hasMore(), false);
  await claimer.poll(1, 2);
  const plain = asked.at(-1);
  assert.ok(plain !== undefined && !('walkFrom' in plain));
  assert.deepEqual(plain.floor, { nextAtMs: 1_000_000, id: 0 }, 'when the walk was decided on');
});

test('claims whose answer was lost are handed to every sweep until a pass that began long after', async () => {
  const { claimer, answers, asked, pass } = setUp();
  answers.push(new Error('lost'), new Error('lost too'));
  await assert.rejects(claimer.poll(1, 100));
  await assert.rejects(claimer.sweepStep(1, 100));
  claimer.lostClaim(77);
  const lost = [...asked.map(({ claim }) => claim), 77];
  const lastLost = () => {
    const last = asked.at(-1);
    return last !== undefined && 'lostClaims' in last ? last.lostClaims : undefined;
  };
  for (let minute = 0; minute < 9; minute++) {
    await claimer.sweepStep(1, 100);
    assert.deepEqual(lastLost(), lost);
    pass(60_000);
  }
  // However long nothing could be asked: one whole pass has them still.
  pass(120_000);
  await claimer.sweepStep(1, 100);
  assert.deepEqual(lastLost(), lost);
  pass(120_000);
  await claimer.sweepStep(1, 100);
  assert.deepEqual(lastLost(), []);
});

test('a lost poll does not move the floor', async () => {
  const { claimer, answers, floors } = setUp();
  answers.push(new Error('lost'));
  await assert.rejects(claimer.poll(1, 100));
  await claimer.poll(1, 100);
  assert.deepEqual(floors()[1], floors()[0]);
});

test('CATCH_UP_RATE bounds what the sweep takes up, not the ordinary poll', async () => {
  const { claimer, answers, asked, pass } = setUp({ catchUpRate: 8 });
  answers.push([timer(1, 10), timer(2, 20)]);
  await claimer.sweepStep(1, 100);
  assert.equal(asked.at(-1)?.rowsMax, 2, 'a quarter of a second of it at first');
  assert.deepEqual((await claimer.sweepStep(1, 100)).timers, []);
  assert.equal(asked.length, 1, 'no token, no statement');
  pass(125);
  await claimer.sweepStep(1, 100);
  assert.equal(asked.at(-1)?.rowsMax, 1);
  await claimer.poll(1, 100);
  assert.equal(asked.at(-1)?.rowsMax, 100);
});

test('what a claim has parked counts as found: the floor follows it, and a sweep goes on behind it', async () => {
  const { claimer, answers, parked, asked, setLanes, floors } = setUp();
  const park = (id: number, nextAtMs: number) => ({ id, nextAtMs, projectId: 1, lane: 5 });
  setLanes([5]);
  answers.push([timer(1, 1_000_100)], []);
  parked.push([park(2, 1_000_200)], []);
  const found = await claimer.poll(1, 100);
  assert.deepEqual(found.parked, [park(2, 1_000_200)]);
  await claimer.poll(1, 100);
  assert.deepEqual(floors().at(-1), { nextAtMs: 1_000_200, id: 2 });
  assert.deepEqual(
    asked.map(({ lanes }) => lanes),
    [[5], [5]],
  );
  answers.push([], []);
  parked.push([park(3, 10), park(4, 20)], [park(6, 30), park(7, 40)]);
  await claimer.sweepStep(1, 2);
  assert.equal(claimer.hasMore(), true);
  await claimer.sweepStep(1, 2);
  await claimer.sweepStep(1, 2);
  await claimer.sweepStep(1, 2);
  const behind = asked.at(-1);
  assert.ok(behind !== undefined && 'known' in behind);
  assert.deepEqual(behind.known, [{ projectId: 1, floor: { nextAtMs: 40, id: 7 }, most: 2 }]);
});
