import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeTime, settled } from './fakes/time.ts';
import { assertNeverEarly, schedulerWorld, stopped } from './fakes/world.ts';

test('a timer fires in its millisecond, not before, by the clock of the database', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const dues = [0, 1, 2, 17, 400, 401, 999, 1_000, 1_500, 3_210];
  for (const dueInMs of dues) world.insert(dueInMs);
  await time.advance(4_000);
  assert.equal(world.firings.length, dues.length);
  assertNeverEarly(world);
  for (const { dueAtMs, atMs } of world.firings.slice(4)) assert.ok(atMs - dueAtMs <= 2);
  await stopped(time, world);
});

test('what the database clock is not known to have reached does not fire', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time, { latencyMs: 40 });
  world.scheduler.start();
  for (const dueInMs of [10, 300, 700, 1_100]) world.insert(dueInMs);
  await time.advance(1_600);
  assert.equal(world.firings.length, 4);
  assertNeverEarly(world);
  await stopped(time, world);
});

test('overdue timers are taken up in the order of their due times', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  const ids = [-50, -5_000, -10, -100_000].map((dueInMs) => world.insert(dueInMs));
  world.scheduler.start();
  await time.advance(50);
  assert.deepEqual(world.firedIds(), [ids[3], ids[1], ids[0], ids[2]]);
  await stopped(time, world);
});

test('a wake-up makes a near timer fire on time, though no poll was due before it', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  await time.advance(260);
  // Just after a poll: the next one would be too late.
  for (let round = 0; round < 20; round++) {
    await time.advance(37);
    const id = world.insert(5);
    const dueAtMs = world.rows.get(id)?.dueAtMs ?? NaN;
    world.scheduler.wake(dueAtMs);
    await time.advance(6);
    assert.equal(world.firings.at(-1)?.id, id);
  }
  assertNeverEarly(world);
  await stopped(time, world);
});

test('a timer committed behind the floor without a wake-up is found by the sweep', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  world.insert(900);
  await time.advance(100);
  const late = world.insert(1);
  await time.advance(1_300);
  assert.ok(world.firedIds().includes(late));
  await stopped(time, world);
});

test('an outcome is recorded once; a retry fires again at its own instant and not before', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const id = world.insert(10);
  await time.advance(12);
  world.end(id, 500);
  await time.advance(150);
  world.end(id, 503);
  await time.advance(250);
  world.end(id, 500);
  await time.advance(2_000, 10);
  assert.deepEqual(
    world.firings.map(({ attempt }) => attempt),
    [1, 2, 3],
  );
  assert.deepEqual(world.finished.get(id), { kind: 'failed', code: 'attempts_exhausted' });
  assert.equal(world.scheduler.held(), 0);
  assertNeverEarly(world);
  await stopped(time, world);
});

test('timers inserted already claimed fire on time; a reservation holds and frees its room', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time, { heldRowsMax: 10 });
  assert.equal(world.scheduler.reserve(1), undefined, 'not before start');
  world.scheduler.start();
  await time.advance(5);
  assert.equal(world.scheduler.reserve(8), undefined, 'three quarters at the most');
  const reservation = world.scheduler.reserve(7);
  assert.ok(reservation !== undefined);
  assert.equal(reservation.withinMs, 2_000);
  assert.equal(world.scheduler.reserve(1), undefined);
  const id = world.insert(3);
  reservation.settle([world.claimedAs(id, reservation)]);
  await time.advance(5);
  assert.deepEqual(world.firedIds(), [id]);
  const again = world.scheduler.reserve(6);
  assert.ok(again !== undefined);
  again.lost();
  assert.notEqual(world.scheduler.reserve(6), undefined);
  await stopped(time, world);
});

test('timers under a claim whose commit is unknown are found by the sweep', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  await time.advance(20);
  const reservation = world.scheduler.reserve(1);
  assert.ok(reservation !== undefined);
  const id = world.insert(50, { owner: reservation.owner, claim: reservation.claim });
  reservation.lost();
  await time.advance(1_500, 5);
  assert.deepEqual(world.firedIds(), [id]);
  await stopped(time, world);
});

test('no room is given out without a lease', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  world.trust(false);
  assert.equal(world.scheduler.reserve(1), undefined);
  await stopped(time, world);
});

test('a process never holds more than it has room for, and comes through a backlog all the same', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time, { heldRowsMax: 20 });
  const ids = Array.from({ length: 150 }, (_, index) => world.insert(-1_000 + index));
  world.scheduler.start();
  for (let round = 0; round < 200 && world.finished.size < ids.length; round++) {
    await time.advance(50, 10);
    assert.ok(world.scheduler.held() <= 20);
    for (const id of world.underWay()) world.end(id);
    await settled();
  }
  assert.deepEqual(
    world.firedIds().toSorted((a, b) => a - b),
    ids,
  );
  await stopped(time, world);
});

test('CATCH_UP_RATE holds a backlog back, not what is due now', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time, { catchUpRate: 10 });
  for (let index = 0; index < 100; index++) world.insert(-60_000 + index);
  world.scheduler.start();
  await time.advance(50);
  const now = world.insert(100);
  world.scheduler.wake(world.rows.get(now)?.dueAtMs ?? NaN);
  await time.advance(1_950, 5);
  assert.ok(world.firedIds().includes(now));
  const overdue = world.firings.length - 1;
  assert.ok(overdue >= 15 && overdue <= 23, `${overdue} in 2 s`);
  await stopped(time, world);
});

test('a store that fails is asked again with growing pauses, and nothing is lost', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  await time.advance(10);
  world.breakStore();
  const ids = [100, 2_000].map((dueInMs) => world.insert(dueInMs));
  await time.advance(5_000, 10);
  assert.deepEqual(world.firings, []);
  assert.ok(world.scheduler.loopAgeMs() > 4_000);
  world.mendStore();
  await time.advance(3_500, 10);
  assert.deepEqual(world.firedIds(), ids);
  assert.ok(world.scheduler.loopAgeMs() < 500);
  await stopped(time, world);
});

test('a large body is fetched at the start; a timer that was taken over meanwhile is let go', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const [kept, gone] = [
    world.insert(300, { bodyDeferred: true }),
    world.insert(300, { bodyDeferred: true }),
  ];
  await time.advance(200);
  world.claimedAs(gone, { owner: 99, claim: 99 });
  await time.advance(110);
  assert.deepEqual(world.firedIds(), [kept]);
  assert.equal(world.scheduler.phaseOf(gone), undefined);
  await stopped(time, world);
});

test('a timer whose last three owners died ends, instead of taking a fourth with it', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const id = world.insert(10, { lostInRow: 3, attempts: 3 });
  const other = world.insert(10, { lostInRow: 2, attempts: 2 });
  await time.advance(30);
  assert.deepEqual(world.finished.get(id), { kind: 'failed', code: 'attempts_lost' });
  assert.deepEqual(world.firedIds(), [other]);
  await stopped(time, world);
});
