import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Claimer, Found } from '../../src/scheduler/claimer.ts';
import { createClaimTurns } from '../../src/scheduler/claimTurns.ts';
import { claimedTimer } from './fakes/timers.ts';

/** A claimer that finds what it is told to, and remembers what it was asked. */
function setUp(options: { room?: number } = {}) {
  let nowMs = 0;
  let owner: number | undefined = 1;
  let hasMoreAhead = false;
  let hasMore = false;
  let during: (() => void) | undefined;
  const calls: string[] = [];
  const polls: (Found | Error)[] = [];
  const nothing: Found = { timers: [], parked: [] };
  const claimer: Pick<
    Claimer,
    | 'poll'
    | 'sweepStep'
    | 'sampleClock'
    | 'sweepDueInMs'
    | 'hasMore'
    | 'hasMoreAhead'
    | 'lowerFloor'
  > = {
    poll(_, rowsMax) {
      calls.push(`poll ${rowsMax}`);
      during?.();
      during = undefined;
      const found = polls.shift() ?? nothing;
      return found instanceof Error ? Promise.reject(found) : Promise.resolve(found);
    },
    sweepStep(_, rowsMax) {
      calls.push(`sweep ${rowsMax}`);
      return Promise.resolve(nothing);
    },
    sampleClock: () => Promise.resolve(void calls.push('clock')),
    sweepDueInMs: () => 1_000,
    hasMore: () => hasMore,
    hasMoreAhead: () => hasMoreAhead,
    lowerFloor: (dueAtMs) => void calls.push(`lower ${dueAtMs}`),
  };
  const turns = createClaimTurns({
    claimer,
    rowsMax: 500,
    owner: () => owner,
    room: () => options.room ?? 4_000,
    roomOfBacklog: () => 300,
    takeIn: () => undefined,
    onParked: () => undefined,
    monotonicMs: () => nowMs,
    random: () => 0,
  });
  return {
    turns,
    calls,
    polls,
    pass: (ms: number) => (nowMs += ms),
    letGo: () => (owner = undefined),
    more: (ahead: boolean, behind: boolean) => {
      hasMoreAhead = ahead;
      hasMore = ahead || behind;
    },
    /** Runs while the next poll is under way. */
    whilePolled: (run: () => void) => (during = run),
    /** What the next turn asks for. */
    async asks(): Promise<string[]> {
      calls.length = 0;
      await turns.turn();
      return [...calls];
    },
  };
}

const found = (count: number): Found => ({
  timers: Array.from({ length: count }, (_, index) => claimedTimer({ id: index + 1 })),
  parked: [],
});

test('polls come every 250 ms, however often those behind have turns', async () => {
  const { turns, asks, pass, more } = setUp();
  assert.deepEqual(await asks(), ['poll 500', 'sweep 300']);
  pass(249);
  more(false, true);
  assert.deepEqual(await asks(), ['sweep 300']);
  assert.equal(await turns.turn(), 0);
  more(false, false);
  assert.equal(await turns.turn(), 10);
  pass(1);
  assert.deepEqual(await asks(), ['poll 500', 'sweep 300']);
  assert.equal(await turns.turn(), 250);
});

test('polls come more often where they find much, and at once where there is more', async () => {
  const { turns, asks, pass, polls, more } = setUp();
  polls.push(found(200));
  assert.deepEqual(await asks(), ['poll 500', 'clock', 'sweep 300']);
  assert.equal(await turns.turn(), 125);
  pass(125);
  polls.push(found(500));
  await turns.turn();
  assert.equal(await turns.turn(), 50);
  more(true, false);
  assert.deepEqual(await asks(), ['poll 500', 'sweep 300']);
});

test('a wake-up makes a poll due, also one during a poll', async () => {
  const { turns, asks, whilePolled } = setUp();
  await turns.turn();
  turns.lowerFloor(7);
  whilePolled(() => turns.lowerFloor(5));
  assert.deepEqual(await asks(), ['poll 500', 'lower 5', 'sweep 300']);
  assert.deepEqual(await asks(), ['poll 500', 'sweep 300']);
  assert.deepEqual(await asks(), ['sweep 300']);
});

test('a poll that failed is due still, and so is the wake-up before it', async () => {
  const { turns, asks, polls } = setUp();
  await turns.turn();
  turns.lowerFloor(7);
  polls.push(new Error('lost'));
  await assert.rejects(turns.turn());
  assert.deepEqual(await asks(), ['poll 500', 'sweep 300']);
});

test('without room or without an identity nothing is asked for', async () => {
  const { turns, asks } = setUp({ room: 0 });
  assert.deepEqual(await asks(), ['sweep 300']);
  assert.equal(await turns.turn(), 250, 'and not asked again at once');
  const gone = setUp();
  gone.letGo();
  assert.deepEqual(await gone.asks(), []);
  assert.equal(await gone.turns.turn(), 20);
});
