import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFairCursor, type FairAsk } from '../../src/scheduler/fairCursor.ts';

const start = { nextAtMs: 0, id: 0 };

/** A cursor over timers that are all due: `waiting` of each project, its ids counting up from 1. */
function setUp(
  waiting: Record<number, number>,
  options: {
    roomOf?: (projectId: number) => number;
    holders?: () => Iterable<number>;
    crowd?: number;
    walkPauseMs?: number;
  } = {},
) {
  const { roomOf = () => 1_000, holders = () => [], crowd = 1, walkPauseMs = 250 } = options;
  let nowMs = 0;
  const taken = new Map<number, number>();
  const cursor = createFairCursor({
    floor: start,
    floorOfRound: () => ({ nextAtMs: nowMs, id: 0 }),
    room: { of: roomOf, holders },
    crowd,
    monotonicMs: () => nowMs,
    walkPauseMs: () => walkPauseMs,
  });
  function answer({ rowsMax, known, most, walkFrom }: FairAsk) {
    const shares =
      walkFrom === null
        ? known.map(({ projectId, most: own }) => ({ projectId, most: own }))
        : Object.keys(waiting)
            .map(Number)
            .filter((projectId) => projectId > walkFrom)
            .map((projectId) => ({
              projectId,
              most: known.find((share) => share.projectId === projectId)?.most ?? most,
            }));
    const timers: { projectId: number; nextAtMs: number; id: number }[] = [];
    for (const { projectId, most: own } of shares) {
      for (let row = 0; row < own && timers.length < rowsMax; row++) {
        const id = (taken.get(projectId) ?? 0) + 1;
        if (id > (waiting[projectId] ?? 0)) break;
        taken.set(projectId, id);
        timers.push({ projectId, nextAtMs: id, id });
      }
    }
    return timers;
  }
  return {
    cursor,
    taken,
    pass: (ms: number) => (nowMs += ms),
    /** One statement; undefined when nothing is asked for. */
    turn(rowsMax = 500) {
      const ask = cursor.ask(rowsMax);
      if (ask === undefined) return undefined;
      const timers = answer(ask);
      return { ask, timers, isOver: cursor.took(ask, timers, null) };
    },
  };
}

test('a million of one project cost the others one statement, and then a share each', () => {
  const { turn, taken, pass } = setUp({ 1: 1_000_000, 2: 3, 3: 90 });
  assert.equal(turn()?.ask.walkFrom, 0);
  assert.deepEqual([...taken.values()], [100, 3, 90], 'the first round');
  assert.deepEqual(turn()?.ask.known, [
    { projectId: 1, floor: { nextAtMs: 100, id: 100 }, most: 500 },
  ]);
  assert.equal(taken.get(1), 600);
  pass(250);
  assert.deepEqual(turn()?.ask.known[0]?.most, 0, 'who is behind has no part in the walk');
  pass(250);
  assert.deepEqual(turn()?.ask.known[0]?.most, 500, 'and has its turn before the next');
  assert.equal(turn()?.ask.walkFrom, 0);
});

test('those behind get the same, whatever their number and whoever comes first', () => {
  const waiting = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [index + 1, 10_000]));
  const { turn, taken, cursor } = setUp(waiting);
  while (turn()?.ask.walkFrom !== null);
  for (let statement = 0; statement < 120; statement++) turn();
  const counts = [...taken.values()].toSorted((a, b) => a - b);
  assert.equal(counts.length, 60);
  assert.ok((counts.at(-1) ?? 0) - (counts[0] ?? 0) <= 100 + 2 * 25, counts.join(' '));
  assert.equal(cursor.hasMore(500), true);
});

test('it is over with the first round after which nobody is behind, at the instant when that began', () => {
  const { turn, cursor, pass, taken } = setUp({ 1: 150, 2: 1 });
  assert.equal(turn()?.isOver, false);
  assert.equal(turn()?.isOver, false);
  assert.equal(turn(), undefined);
  assert.equal(cursor.hasMore(1), false);
  assert.equal(cursor.walkDueInMs(), 250);
  pass(250);
  assert.equal(turn()?.isOver, true);
  assert.deepEqual([...taken.values()], [150, 1]);
  assert.deepEqual(cursor.floor(), { nextAtMs: 250, id: 0 });
});

test('who may hold no more waits until there is room, and holds up nobody', () => {
  let free = 0;
  const { turn, taken, cursor, pass } = setUp(
    { 1: 1_000, 2: 5 },
    { roomOf: (projectId) => (projectId === 1 ? free : 100), holders: () => [1] },
  );
  assert.equal(turn()?.isOver, false, 'whether it has something cannot be told');
  assert.deepEqual([...taken], [[2, 5]]);
  assert.equal(turn(), undefined);
  assert.equal(cursor.hasMore(1), false);
  free = 30;
  assert.equal(cursor.hasMore(30), true);
  assert.equal(cursor.hasMore(31), false);
  turn();
  assert.equal(taken.get(1), 30);
  free = 0;
  pass(250);
  assert.equal(turn()?.ask.walkFrom, 0);
  assert.equal(taken.get(1), 30);
});

test('who has room for less than a crowd has a turn now and then, and before each walk', () => {
  let free = 1_000;
  const { turn, taken, pass } = setUp(
    { 1: 100_000 },
    { roomOf: () => free, crowd: 500, walkPauseMs: 1_000 },
  );
  turn();
  turn();
  assert.equal(taken.get(1), 600);
  free = 30;
  pass(100);
  assert.equal(turn(), undefined);
  free = 500;
  assert.equal(turn()?.timers.length, 500, 'a crowd may come at any time');
  free = 30;
  pass(249);
  assert.equal(turn(), undefined);
  pass(1);
  assert.equal(turn()?.timers.length, 30);
  assert.equal(turn(), undefined);
  assert.equal(turn(30)?.timers.length, 30, 'who asks for no more gets it');
  pass(650);
  assert.equal(turn()?.ask.walkFrom, 0, 'the turns before it are enough');
  pass(1_000);
  assert.equal(turn()?.ask.walkFrom, null, 'it is owed one');
  assert.equal(turn()?.ask.walkFrom, 0);
});

test('a walk that finds too many goes on behind the project where it was cut short', () => {
  const { turn, taken } = setUp({ 1: 90, 2: 90, 3: 90 });
  turn(100);
  assert.deepEqual(
    [...taken],
    [
      [1, 90],
      [2, 10],
    ],
  );
  assert.equal(turn(100)?.ask.walkFrom, 2);
  assert.equal(taken.get(3), 90);
  assert.deepEqual(
    turn(100)?.ask.known.map(({ projectId }) => projectId),
    [2],
  );
  assert.equal(taken.get(2), 90);
});

test('a wake-up is walked for at once, and not lost to an answer that was under way', () => {
  const { cursor, turn, pass } = setUp({ 1: 100_000, 2: 0 });
  turn();
  const ask = cursor.ask(500);
  assert.ok(ask?.walkFrom === null);
  cursor.lower(40);
  assert.equal(cursor.walkDueInMs(), 0);
  cursor.took(ask, [{ projectId: 1, nextAtMs: 700, id: 700 }], null);
  const walk = cursor.ask(500);
  assert.ok(walk !== undefined);
  assert.deepEqual([walk.walkFrom, walk.floor], [0, { nextAtMs: 0, id: 0 }]);
  assert.deepEqual(walk.known[0]?.floor, { nextAtMs: 40, id: 0 }, 'that of project 1 as well');
  pass(100);
  cursor.lower(60);
  cursor.took(walk, [], null);
  assert.equal(cursor.walkDueInMs(), 0, 'woken during the walk');
});

test('what is left to others is not asked for', () => {
  const { cursor, turn } = setUp({ 1: 100_000 });
  turn();
  cursor.raise(90_000);
  const ask = cursor.ask(500);
  assert.deepEqual(ask?.known[0]?.floor, { nextAtMs: 90_000, id: 0 });
});
