import assert from 'node:assert/strict';
import { test } from 'node:test';
import { timerIdFromDatabase } from '../../src/core/ids.ts';
import { createDestinationLanes } from '../../src/scheduler/destinationLanes.ts';
import { silentLog } from '../../src/telemetry/log.ts';

/** Lanes whose ids are the ports of their origins. */
function setUp() {
  let nowMs = 1_000;
  const lanes = createDestinationLanes({
    store: {
      limited: () => Promise.resolve([]),
      parkAt: (timers) =>
        Promise.resolve(
          timers.map(({ id, origin }) => ({ id, lane: Number(new URL(origin).port) })),
        ),
      open: () => Promise.resolve(undefined),
      releaseExpired: () => Promise.resolve(),
    },
    book: { settingsOf: () => undefined, settingsOfUrl: () => undefined, hasAny: () => false },
    nowMs: () => nowMs,
    log: silentLog(),
    onLimited: () => undefined,
    onReleased: () => undefined,
  });
  const park = (port: number, count: number) =>
    Array.from({ length: count }, (_, index) => ({
      id: timerIdFromDatabase(1_000 * port + index),
      owner: 1,
      claim: 1,
      projectId: 1,
      origin: `http://h.example:${port}`,
    }));
  return { lanes, park, pass: (ms: number) => (nowMs += ms) };
}

test('where many are parked at once, claims do it by themselves, as long as they find some', async () => {
  const { lanes, park, pass } = setUp();
  assert.deepEqual(lanes.crowded(), []);
  await lanes.park([...park(1, 24), ...park(2, 25)]);
  assert.deepEqual(lanes.crowded(), [2]);
  pass(4_999);
  lanes.parkedByClaim(Array.from({ length: 25 }, () => ({ lane: 2 })));
  pass(4_999);
  assert.deepEqual(lanes.crowded(), [2]);
  lanes.parkedByClaim(Array.from({ length: 24 }, () => ({ lane: 2 })));
  pass(1);
  assert.deepEqual(lanes.crowded(), []);
});

test('only the eight that were last found crowded are told of', async () => {
  const { lanes, park } = setUp();
  for (const port of [1, 2, 3, 4, 5, 6, 7, 8, 1, 9, 10]) await lanes.park(park(port, 25));
  assert.deepEqual(
    lanes.crowded().toSorted((a, b) => a - b),
    [1, 4, 5, 6, 7, 8, 9, 10],
  );
});
