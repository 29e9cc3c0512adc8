import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createParkPace } from '../../src/scheduler/parkPace.ts';

function setUp() {
  let nowMs = 0;
  return { pace: createParkPace(() => nowMs), pass: (ms: number) => (nowMs += ms) };
}

test('who finds a crowd to park takes less of it at a time, and rests for as long as that took', () => {
  const { pace, pass } = setUp();
  assert.equal(pace.rowsMax(500), 500);
  pace.found({ rows: 500, parked: 480 }, 20);
  assert.equal(pace.restMs(), 20);
  assert.equal(pace.rowsMax(500), 125);
  assert.equal(pace.rowsMax(3), 3);
  pass(15);
  assert.equal(pace.restMs(), 5);
  pass(15);
  assert.equal(pace.restMs(), 0);
});

test('where much is found that can be sent, or nothing, nobody rests', () => {
  const { pace, pass } = setUp();
  for (const found of [
    { rows: 500, parked: 300 },
    { rows: 0, parked: 0 },
  ]) {
    pace.found({ rows: 100, parked: 100 }, 5);
    pass(5);
    pace.found(found, 20);
    assert.equal(pace.restMs(), 0);
    assert.equal(pace.rowsMax(500), 500);
  }
});
