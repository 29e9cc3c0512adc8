import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TimerId } from '../../src/core/ids.ts';
import { createHoldings } from '../../src/scheduler/holdings.ts';
import { claimedTimer } from './fakes/timers.ts';

const bounds = { rowsMax: 10, bytesMax: 10_000, rowBytesMax: 1_000 };

test('the room is bounded in rows, and what is reserved is taken off', () => {
  const holdings = createHoldings(bounds);
  assert.equal(holdings.room(), 10);
  assert.equal(holdings.room(0.5), 5);
  assert.equal(holdings.reserve(4), true);
  assert.equal(holdings.room(), 6);
  assert.equal(holdings.room(0.5), 1);
  assert.equal(holdings.reserve(7), false);
  assert.equal(holdings.reserve(6), true);
  assert.equal(holdings.room(), 0);
  assert.equal(holdings.reserve(1), false);
  holdings.unreserve(10);
  assert.equal(holdings.room(), 10);
});

test('the room is bounded in bytes: as if every further row were the largest', () => {
  const holdings = createHoldings({ ...bounds, rowsMax: 1_000 });
  assert.equal(holdings.room(), 10);
  holdings.add(claimedTimer({ id: 1, bytes: 1_000 }));
  assert.equal(holdings.room(), 9);
  holdings.add(claimedTimer({ id: 2, bytes: 1 }));
  assert.equal(holdings.room(), 8);
  holdings.add(claimedTimer({ id: 3, bytes: 7_999 }));
  assert.equal(holdings.room(), 1);
  holdings.add(claimedTimer({ id: 4, bytes: 5_000 }));
  assert.equal(holdings.room(), 0, 'never below zero');
});

test('timers come out in the order of their due times, each once', () => {
  const holdings = createHoldings(bounds);
  for (const [id, nextAtMs] of [
    [1, 30],
    [2, 10],
    [3, 20],
  ] as const) {
    holdings.add(claimedTimer({ id, nextAtMs }));
  }
  assert.equal(holdings.next()?.timer.id, 2);
  assert.deepEqual(
    [holdings.takeNext(), holdings.takeNext(), holdings.takeNext()].map((h) => [
      h?.timer.id,
      h?.phase,
    ]),
    [
      [2, 'handed'],
      [3, 'handed'],
      [1, 'handed'],
    ],
  );
  assert.equal(holdings.takeNext(), undefined);
  assert.equal(holdings.size(), 3, 'they are held until they are removed');
});

test('what was taken or removed does not come out; what waits again does, once', () => {
  const holdings = createHoldings(bounds);
  for (const id of [1, 2, 3]) holdings.add(claimedTimer({ id, nextAtMs: id }));
  const [one, two] = [holdings.get(1 as TimerId), holdings.get(2 as TimerId)];
  assert.ok(one !== undefined && two !== undefined);
  one.phase = 'taken';
  holdings.remove(two);
  assert.equal(holdings.next()?.timer.id, 3);
  holdings.wait(one);
  holdings.wait(two);
  assert.equal(holdings.get(2 as TimerId), undefined, 'a removed one does not come back');
  assert.equal(holdings.takeNext(), one);
  assert.equal(holdings.takeNext()?.timer.id, 3);
  assert.equal(holdings.takeNext(), undefined);
});

test('a newer claim of the same timer replaces the older one, whose end changes nothing', () => {
  const holdings = createHoldings(bounds);
  holdings.add(claimedTimer({ id: 1, claim: 1, nextAtMs: 5, bytes: 400 }));
  const older = holdings.get(1 as TimerId);
  holdings.add(claimedTimer({ id: 1, claim: 2, nextAtMs: 9, bytes: 700 }));
  assert.ok(older !== undefined);
  holdings.remove(older);
  holdings.wait(older);
  assert.equal(holdings.size(), 1);
  assert.equal(holdings.takeNext()?.timer.claim, 2);
  assert.equal(holdings.takeNext(), undefined);
});

test('whatever happens to timers, rows and bytes are counted exactly and no one comes out twice', () => {
  const operations = fc.array(
    fc.oneof(
      fc.record({
        do: fc.constant('add' as const),
        id: fc.integer({ min: 1, max: 8 }),
        nextAtMs: fc.integer({ min: 0, max: 20 }),
        bytes: fc.integer({ min: 1, max: 1_000 }),
      }),
      fc.record({
        do: fc.constantFrom('take', 'wait', 'remove'),
        id: fc.integer({ min: 1, max: 8 }),
      }),
      fc.record({ do: fc.constant('hand' as const) }),
    ),
  );
  fc.assert(
    fc.property(operations, (steps) => {
      const holdings = createHoldings({ rowsMax: 100, bytesMax: 100_000, rowBytesMax: 1_000 });
      for (const step of steps) {
        if (step.do === 'add' && 'bytes' in step) holdings.add(claimedTimer(step));
        else if (step.do === 'hand') {
          const waiting = [...holdings.all()].filter(({ phase }) => phase === 'waiting');
          const handed = holdings.takeNext();
          assert.equal(handed === undefined, waiting.length === 0);
          const earliest = Math.min(...waiting.map(({ timer }) => timer.nextAtMs));
          assert.equal(handed?.timer.nextAtMs ?? Infinity, earliest);
        } else if ('id' in step) {
          const holding = holdings.get(step.id as TimerId);
          if (holding === undefined) continue;
          if (step.do === 'take') holding.phase = 'taken';
          else if (step.do === 'wait') holdings.wait(holding);
          else holdings.remove(holding);
        }
        const all = [...holdings.all()];
        assert.equal(holdings.size(), all.length);
        const bytes = all.reduce((sum, { timer }) => sum + timer.bytes, 0);
        const byBytes = Math.floor((100_000 - bytes) / 1_000);
        assert.equal(holdings.room(), Math.min(100 - all.length, byBytes));
      }
    }),
    { numRuns: 300 },
  );
});
