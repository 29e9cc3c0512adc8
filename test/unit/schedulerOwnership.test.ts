import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { fakeTime, settled } from './fakes/time.ts';
import { assertNeverEarly, schedulerWorld, stopped } from './fakes/world.ts';

test('a waiting timer that is taken back never fires once the change is committed', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const id = world.insert(500);
  await time.advance(300);
  const taken = world.scheduler.takeBack(id);
  assert.ok(typeof taken === 'object');
  assert.equal(taken.timer.id, id);
  await time.advance(400);
  assert.deepEqual(world.firings, [], 'nor while the change is being committed');
  world.rows.delete(id);
  taken.done();
  assert.equal(world.scheduler.takeBack(id), 'not_held');
  await time.advance(1_500, 10);
  assert.deepEqual(world.firings, []);
  assert.equal(world.scheduler.held(), 0);
  await stopped(time, world);
});

test('a timer that is put back fires as planned, or at once when its time has come', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const [early, late] = [world.insert(500), world.insert(500)];
  await time.advance(300);
  const takenEarly = world.scheduler.takeBack(early);
  const takenLate = world.scheduler.takeBack(late);
  assert.ok(typeof takenEarly === 'object' && typeof takenLate === 'object');
  takenEarly.putBack();
  await time.advance(210);
  assert.deepEqual(world.firedIds(), [early]);
  takenLate.putBack();
  await time.advance(1);
  assert.deepEqual(world.firedIds(), [early, late]);
  assertNeverEarly(world);
  await stopped(time, world);
});

test('a timer whose change has an unknown outcome is given back to whoever claims it', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const id = world.insert(500);
  await time.advance(300);
  const taken = world.scheduler.takeBack(id);
  assert.ok(typeof taken === 'object');
  taken.unknown();
  await settled();
  assert.deepEqual(world.released, [id]);
  // It had not been committed: it fires after all.
  await time.advance(1_500, 10);
  assert.deepEqual(world.firedIds(), [id]);
  await stopped(time, world);
});

test('giving back is repeated until it is known to be done', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const id = world.insert(900);
  await time.advance(300);
  const taken = world.scheduler.takeBack(id);
  assert.ok(typeof taken === 'object');
  world.breakRelease();
  taken.unknown();
  await settled();
  assert.deepEqual(world.released, []);
  world.mendStore();
  // By a timer of node:timers/promises, which the fake time does not reach.
  await eventually('given back', () => world.released.includes(id));
  await time.advance(2_000, 10);
  assert.deepEqual(world.firedIds(), [id]);
  await stopped(time, world);
});

test('a timer that has started, or is being recorded, or is taken already, is not given back', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const [started, other] = [world.insert(10), world.insert(800)];
  await time.advance(20);
  assert.equal(world.scheduler.phaseOf(started), 'started');
  assert.equal(world.scheduler.takeBack(started), 'started');
  assert.equal(typeof world.scheduler.takeBack(other), 'object');
  assert.equal(world.scheduler.takeBack(other), 'started');
  world.end(started);
  await settled();
  assert.equal(world.scheduler.takeBack(started), 'not_held');
  await stopped(time, world);
});

test('a timer that was handed over but waits for a slot can still be taken back', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time, { startAtOnce: false });
  world.scheduler.start();
  const [cancelled, kept] = [world.insert(10), world.insert(10)];
  await time.advance(20);
  assert.equal(world.scheduler.phaseOf(cancelled), 'handed');
  const first = world.scheduler.takeBack(cancelled);
  const second = world.scheduler.takeBack(kept);
  assert.ok(typeof first === 'object' && typeof second === 'object');
  await settled();
  world.rows.delete(cancelled);
  first.done();
  second.putBack();
  await time.advance(10);
  world.admit();
  assert.deepEqual(world.firedIds(), [kept]);
  await stopped(time, world);
});

test('nothing fires while trust in the lease has ended; it all does once it is back', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const ids = [200, 300, 400].map((dueInMs) => world.insert(dueInMs));
  await time.advance(100);
  world.trust(false);
  await time.advance(500);
  assert.deepEqual(world.firings, []);
  world.trust(true);
  await settled();
  assert.deepEqual(world.firedIds(), ids);
  await stopped(time, world);
});

test('a delivery that finds the lease ended puts its timer back, and it fires later', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time, { startAtOnce: false });
  world.scheduler.start();
  const id = world.insert(10);
  await time.advance(20);
  world.trust(false);
  world.admit();
  await settled();
  assert.equal(world.scheduler.phaseOf(id), 'waiting');
  world.trust(true);
  await time.advance(25);
  world.admit();
  assert.deepEqual(world.firedIds(), [id]);
  await stopped(time, world);
});

test('a lost identity gives up what has not started, and its late outcomes are refused', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const [started, waiting] = [world.insert(10), world.insert(900)];
  await time.advance(20);
  world.changeIdentity();
  assert.equal(world.scheduler.phaseOf(waiting), undefined);
  assert.equal(world.scheduler.phaseOf(started), 'started');
  // Somebody else has taken the started one over meanwhile.
  world.claimedAs(started, { owner: 99, claim: 99 });
  world.end(started);
  await settled();
  assert.deepEqual(world.stale, [started]);
  assert.equal(world.scheduler.held(), 0);
  await time.advance(2_500, 5);
  assert.deepEqual(
    world.firedIds(),
    [started, waiting],
    'the other is claimed anew and fires once',
  );
  await stopped(time, world);
});

test('claims that were made under an identity that is gone are not taken in', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  await time.advance(20);
  const reservation = world.scheduler.reserve(1);
  assert.ok(reservation !== undefined);
  const id = world.insert(50, { owner: reservation.owner, claim: reservation.claim });
  const claimed = world.claimedAs(id, reservation);
  world.changeIdentity();
  reservation.settle([claimed]);
  assert.equal(world.scheduler.held(), 0);
  await time.advance(1_500, 5);
  assert.deepEqual(world.firedIds(), [id], 'the next sweep finds them owned by the dead');
  await stopped(time, world);
});

test('a timer whose identity is lost while its body is fetched does not start', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const id = world.insert(10, { bodyDeferred: true });
  const answer = world.holdBodies();
  await time.advance(20);
  assert.equal(world.scheduler.phaseOf(id), 'handed');
  world.changeIdentity();
  answer();
  await settled();
  assert.deepEqual(world.firings, []);
  await time.advance(1_500, 10);
  assert.deepEqual(world.firedIds(), [id], 'it fires under the new identity');
  await stopped(time, world);
});

test('stop starts nothing new, waits for what has started, and gives the rest back unstarted', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time, { startAtOnce: false });
  world.scheduler.start();
  const [started, handed, waiting] = [world.insert(10), world.insert(30), world.insert(500)];
  await time.advance(20);
  world.admit();
  await time.advance(20);
  assert.deepEqual(world.waiting(), [handed]);
  let isStopped = false;
  const stopping = world.scheduler
    .stop(new AbortController().signal)
    .then(() => (isStopped = true));
  await time.advance(1_000, 10);
  assert.equal(isStopped, false);
  assert.deepEqual(world.firedIds(), [started]);
  world.end(started);
  await stopping;
  assert.equal(world.finished.get(started)?.kind, 'succeeded');
  assert.deepEqual(
    world.released.toSorted((a, b) => a - b),
    [handed, waiting],
  );
  assert.equal(world.rows.get(handed)?.attempts, 0, 'a shutdown uses up no attempt');
  assert.equal(world.scheduler.held(), 0);
  assert.equal(world.scheduler.reserve(1), undefined);
  await world.scheduler.stop(new AbortController().signal);
});

test('stop waits no longer than its deadline for an attempt that does not end', async () => {
  using time = fakeTime();
  const world = schedulerWorld(time);
  world.scheduler.start();
  const [stuck, waiting] = [world.insert(10), world.insert(800)];
  await time.advance(20);
  const deadline = new AbortController();
  const stopping = world.scheduler.stop(deadline.signal);
  await time.advance(300, 10);
  deadline.abort();
  await stopping;
  assert.deepEqual(world.released, [waiting]);
  assert.equal(world.rows.get(stuck)?.owner, 1, 'it stays owned until its outcome or its end');
});
