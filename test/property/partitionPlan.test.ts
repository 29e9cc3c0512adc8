import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  dayMs,
  isPast,
  partitionDays,
  partitionsToCreate,
  type PartitionRange,
} from '../../src/core/partitionPlan.ts';

const retentionMs = fc.oneof(
  fc.constant(Infinity),
  fc.integer({ min: 1, max: 400 }).map((days) => days * dayMs),
  fc.integer({ min: dayMs, max: 36_500 * dayMs }),
);

/** A life: again and again the clock goes on, and the setting is what somebody made it. */
const life = fc.array(
  fc.record({ passesMs: fc.integer({ min: 0, max: 20 * dayMs }), retentionMs }),
  { minLength: 1, maxLength: 30 },
);

const startMs = Date.UTC(2026, 0, 31, 23, 59, 59, 999);

function assertApart(ranges: readonly PartitionRange[]): void {
  const sorted = ranges.toSorted((a, b) => a.fromMs - b.fromMs);
  for (const [index, { fromMs, toMs }] of sorted.entries()) {
    assert.ok(fromMs < toMs);
    assert.ok(toMs <= (sorted[index + 1]?.fromMs ?? Infinity), 'two overlap');
  }
}

function assertCovered(ranges: readonly PartitionRange[], nowMs: number): void {
  const todayMs = Math.floor(nowMs / dayMs) * dayMs;
  for (let day = 0; day <= 7; day++) {
    const ms = todayMs + day * dayMs;
    assert.equal(
      ranges.filter(({ fromMs, toMs }) => fromMs <= ms && ms + dayMs <= toMs).length,
      1,
      `day ${day} is in one partition`,
    );
  }
}

test('whatever becomes of the settings: no overlap, no day of the next seven left out, no more than needed', () => {
  fc.assert(
    fc.property(life, (steps) => {
      let nowMs = startMs;
      let existing: PartitionRange[] = [];
      for (const step of steps) {
        nowMs += step.passesMs;
        const created = partitionsToCreate({ nowMs, retentionMs: step.retentionMs, existing });
        for (const { fromMs, toMs } of created) {
          assert.ok(fromMs % dayMs === 0 && toMs % dayMs === 0, 'whole days');
          assert.ok(toMs - fromMs <= partitionDays(step.retentionMs) * dayMs);
          assert.ok(fromMs < nowMs + 8 * dayMs, 'not before it is needed');
          assert.ok(toMs > nowMs, 'not when it is over');
        }
        existing.push(...created);
        assertApart(existing);
        assertCovered(existing, nowMs);
        const again = partitionsToCreate({ nowMs, retentionMs: step.retentionMs, existing });
        assert.deepEqual(again, []);
        const now = { nowMs, retentionMs: step.retentionMs };
        existing = existing.filter((range) => !isPast(range, now));
        assertCovered(existing, nowMs);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('partitions that somebody else made, of any bounds, are neither overlapped nor doubled', () => {
  const bound = fc.integer({ min: -20 * dayMs, max: 20 * dayMs });
  const ranges = fc.array(
    fc.tuple(fc.oneof(bound, fc.constant(-Infinity)), fc.oneof(bound, fc.constant(Infinity))),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(ranges, retentionMs, (bounds, retention) => {
      const existing: PartitionRange[] = [];
      for (const [from, to] of bounds) {
        const range = { fromMs: startMs + from, toMs: startMs + to };
        const isApart = existing.every((e) => range.toMs <= e.fromMs || e.toMs <= range.fromMs);
        if (range.fromMs < range.toMs && isApart) existing.push(range);
      }
      const options = { nowMs: startMs, retentionMs: retention, existing };
      const all = [...existing, ...partitionsToCreate(options)];
      assertApart(all);
      const todayMs = Math.floor(startMs / dayMs) * dayMs;
      for (let ms = todayMs; ms < todayMs + 8 * dayMs; ms += dayMs) {
        assert.ok(
          all.some(({ fromMs, toMs }) => fromMs < ms + dayMs && ms < toMs),
          'a day is touched by some partition',
        );
      }
    }),
    { numRuns: 2_000 },
  );
});

test('nothing is past of which an instant is still within the retention, and all else is', () => {
  const instant = fc.integer({ min: 0, max: 4_000 * dayMs });
  fc.assert(
    fc.property(instant, instant, instant, retentionMs, (fromMs, widthMs, nowMs, retention) => {
      const range = { fromMs, toMs: fromMs + widthMs + 1 };
      const lastMs = range.toMs - 1;
      assert.equal(isPast(range, { nowMs, retentionMs: retention }), nowMs - lastMs > retention);
    }),
  );
});

test('with one setting all along a retention is about thirty partitions, and at least days', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), (days) => {
      const retention = days * dayMs;
      const width = partitionDays(retention);
      assert.ok(width >= 1 && days / width <= 30);
      let existing: PartitionRange[] = [];
      for (let day = 0; day < days + 3 * width; day++) {
        const now = { nowMs: startMs + day * dayMs, retentionMs: retention };
        existing.push(...partitionsToCreate({ ...now, existing }));
        existing = existing.filter((range) => !isPast(range, now));
        // Thirty, the two that it begins and ends within, and what is prepared.
        assert.ok(existing.length <= 30 + 2 + Math.ceil(8 / width), String(existing.length));
      }
    }),
    { numRuns: 60 },
  );
  assert.equal(partitionDays(30 * dayMs), 1);
  assert.equal(partitionDays(90 * dayMs), 3);
  assert.equal(partitionDays(365 * dayMs), 13);
});
