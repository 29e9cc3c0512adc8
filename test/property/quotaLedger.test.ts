import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  counted,
  emptyLedger,
  take,
  type Granted,
  type Ledger,
  type Wish,
} from '../../src/core/quotaLedger.ts';

const nothing: Wish = {
  holder: 'a',
  held: 0,
  revived: 0,
  ended: 0,
  created: 0,
  wanted: 0,
  ahead: 0,
  liveMax: 10,
  createsMax: null,
};
const noonMs = 20_000 * 86_400_000 + 43_200_000;

/** Counted: so many live timers. */
function knowing(count: number, nowMs = noonMs): Ledger {
  const [ledger, { countId }] = take(emptyLedger, { ...nothing, wanted: 1 }, nowMs);
  return counted(ledger, { countId: countId ?? NaN, count, tookMs: 1 }, nowMs + 1);
}

test('nothing is given before the timers are counted, and then no more than is free', () => {
  const [ledger, first] = take(emptyLedger, { ...nothing, wanted: 3 }, noonMs);
  assert.partialDeepStrictEqual(first, { granted: 0, short: 'liveTimers' });
  assert.notEqual(first.countId, null);
  const [, second] = take(ledger, { ...nothing, holder: 'b', wanted: 3 }, noonMs + 1);
  assert.equal(second.countId, null, 'one counts');
  const [, third] = take(knowing(8), { ...nothing, wanted: 3 }, noonMs + 10);
  assert.partialDeepStrictEqual(third, { granted: 2, short: 'liveTimers', live: 8 });
});

test('what a dead process held counts as created; what a live one holds is not given twice', () => {
  const [ledger] = take(knowing(0), { ...nothing, wanted: 6 }, noonMs + 10);
  const other = { ...nothing, holder: 'b', wanted: 10 };
  assert.equal(take(ledger, other, noonMs + 20)[1].granted, 4);
  const [later, granted] = take(ledger, other, noonMs + 20_000);
  assert.equal(granted.granted, 4);
  assert.equal(later.live, 6);
  assert.equal(later.created, 6);
});

test('what ended about when a count began is not taken off twice', () => {
  const wish = { ...nothing, ended: 3, wanted: 5 };
  assert.equal(take(knowing(8), wish, noonMs + 10)[1].granted, 2);
  assert.equal(take(knowing(8), wish, noonMs + 5_000)[1].granted, 5);
});

test('another day begins at midnight of UTC', () => {
  const wish = { ...nothing, liveMax: null, createsMax: 5 };
  const [full] = take(emptyLedger, { ...wish, created: 5 }, noonMs);
  assert.equal(take(full, { ...wish, wanted: 1 }, noonMs + 43_199_999)[1].short, 'createsPerDay');
  assert.equal(take(full, { ...wish, wanted: 1 }, noonMs + 43_200_000)[1].granted, 1);
});

test('a count that was overtaken by another one says nothing', () => {
  const ledger = knowing(3);
  assert.deepEqual(counted(ledger, { countId: 0, count: 9, tookMs: 1 }, noonMs + 5), ledger);
});

interface Process {
  held: number;
  created: number;
  ended: number;
}

test('whatever processes do, and whichever die, there are never more live timers than the quota', () => {
  const step = fc.record({
    waitMs: fc.oneof(
      { weight: 20, arbitrary: fc.integer({ min: 0, max: 60 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 20_000 }) },
    ),
    process: fc.integer({ min: 0, max: 2 }),
    does: fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom('take', 'create', 'create', 'count') },
      { weight: 3, arbitrary: fc.constant('end') },
      { weight: 1, arbitrary: fc.constant('die') },
    ),
    wanted: fc.integer({ min: 0, max: 5 }),
    ahead: fc.integer({ min: 0, max: 50 }),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 150, size: 'max' }),
      fc.integer({ min: 1, max: 40 }),
      (steps, max) => {
        let nowMs = noonMs;
        let ledger = emptyLedger;
        let live = 0;
        let created = 0;
        let generation = 0;
        let counting: { countId: number; count: number } | undefined;
        const processes: Process[] = [0, 1, 2].map(() => ({ held: 0, created: 0, ended: 0 }));
        const names = ['a', 'b', 'c'];
        for (const { waitMs, process: index, does, wanted, ahead } of steps) {
          const process = processes[index];
          assert.ok(process !== undefined);
          // A process that lives reports in time.
          const lives = processes.flatMap((_, n) => (n === index ? [] : [n]));
          for (let leftMs = waitMs; leftMs > 0; leftMs -= 1_000) {
            nowMs += Math.min(1_000, leftMs);
            for (const n of [...lives, index]) ask(n, 0, 0);
          }
          if (does === 'take') ask(index, wanted, ahead);
          else if (does === 'create' && process.held > 0) {
            process.held -= 1;
            process.created += 1;
            live += 1;
            created += 1;
          } else if (does === 'end' && live > 0) {
            process.ended += 1;
            live -= 1;
          } else if (does === 'die') {
            generation += 1;
            names[index] = `${index}/${generation}`;
            processes[index] = { held: 0, created: 0, ended: 0 };
          } else if (does === 'count' && counting !== undefined) {
            ledger = counted(ledger, { ...counting, tookMs: 1 }, nowMs);
            counting = undefined;
          }
          assert.ok(live <= max, `${live} live timers of ${max}`);
          assert.ok(created <= 3 * max, `${created} created of ${3 * max}`);
        }

        function ask(n: number, wants: number, inAdvance: number): void {
          const asking = processes[n];
          if (asking === undefined) return;
          const { held, created: made, ended } = asking;
          let granted: Granted;
          [ledger, granted] = take(
            ledger,
            {
              ...nothing,
              holder: names[n] ?? '',
              held,
              created: made,
              ended,
              wanted: wants,
              ahead: inAdvance,
              liveMax: max,
              createsMax: 3 * max,
            },
            nowMs,
          );
          asking.created = 0;
          asking.ended = 0;
          asking.held += granted.granted;
          if (granted.countId !== null) counting = { countId: granted.countId, count: live };
        }
      },
    ),
    { numRuns: 500 },
  );
});
