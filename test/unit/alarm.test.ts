import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAlarm } from '../../src/scheduler/alarm.ts';
import { fakeTime } from './fakes/time.ts';

test('an alarm rings once, for the last time it was set to', async () => {
  using time = fakeTime();
  let rings = 0;
  const alarm = createAlarm(() => (rings += 1));
  alarm.set(50);
  alarm.set(10);
  await time.advance(9);
  assert.equal(rings, 0);
  await time.advance(1);
  assert.equal(rings, 1);
  await time.advance(100);
  assert.equal(rings, 1);
});

test('an alarm comes early rather than late by the part of a millisecond, and never at once', async () => {
  using time = fakeTime();
  let rings = 0;
  const alarm = createAlarm(() => (rings += 1));
  alarm.set(2.9);
  await time.advance(2);
  assert.equal(rings, 1);
  for (const delayMs of [0, -5, 0.2]) {
    alarm.set(delayMs);
    const before: number = rings;
    assert.equal(rings, before);
    await time.advance(1);
    assert.equal(rings, before + 1);
  }
});

test('a cleared alarm does not ring, and can be set again', async () => {
  using time = fakeTime();
  let rings = 0;
  const alarm = createAlarm(() => (rings += 1));
  alarm.set(5);
  alarm.clear();
  alarm.clear();
  await time.advance(10);
  assert.equal(rings, 0);
  alarm.set(5);
  await time.advance(5);
  assert.equal(rings, 1);
});

test('a delay longer than a timeout can be does not ring at once', async () => {
  using time = fakeTime();
  let rings = 0;
  const alarm = createAlarm(() => (rings += 1));
  for (const delayMs of [2 ** 31, 100 * 365 * 86_400_000, Infinity]) {
    alarm.set(delayMs);
    await time.advance(1_000, 500);
    assert.equal(rings, 0);
  }
});
