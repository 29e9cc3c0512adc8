import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabaseClock } from '../../src/scheduler/databaseClock.ts';
import { createLease, type HeartbeatStore, type Lease } from '../../src/scheduler/lease.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { fakeTime, settled, type FakeTime } from './fakes/time.ts';

const ttlMs = 5_000;

/** Heartbeat rows on a database whose clock is the machine's monotonic one plus a constant. */
class FakeHeartbeats implements HeartbeatStore {
  readonly rows = new Map<number, { expiresAtMs: number; dead: boolean }>();
  readonly calls: string[] = [];
  /** What the next calls do before they answer: fail, or wait. */
  before: (call: string) => Promise<void> = () => Promise.resolve();
  readonly #time: FakeTime;

  constructor(time: FakeTime) {
    this.#time = time;
  }

  nowMs(): number {
    return this.#time.clock.monotonicMs() + 1e12;
  }

  async register(id: number, ttl: number): Promise<void> {
    this.calls.push('register');
    await this.before('register');
    this.rows.set(id, { expiresAtMs: this.nowMs() + ttl, dead: false });
  }

  async renew(id: number, ttl: number): Promise<number | undefined> {
    this.calls.push('renew');
    await this.before('renew');
    const row = this.rows.get(id);
    if (row === undefined || row.dead || row.expiresAtMs <= this.nowMs()) return undefined;
    row.expiresAtMs = this.nowMs() + ttl;
    return this.nowMs();
  }

  async retire(id: number): Promise<void> {
    this.calls.push('retire');
    await this.before('retire');
    const row = this.rows.get(id);
    if (row !== undefined) row.dead = true;
  }

  expiresInMs(id: number | undefined): number {
    return (this.rows.get(id ?? -1)?.expiresAtMs ?? -Infinity) - this.nowMs();
  }
}

function setUp(time: FakeTime) {
  const store = new FakeHeartbeats(time);
  const lost: number[] = [];
  let held = 0;
  const databaseClock = createDatabaseClock(time.clock);
  const lease: Lease = createLease({
    store,
    clock: time.clock,
    databaseClock,
    ttlMs,
    log: silentLog(),
    onLost: (owner) => lost.push(owner),
    onHeld: () => (held += 1),
  });
  return { store, lease, lost, databaseClock, timesHeld: () => held };
}

test('before it is started nothing may start and there is no owner', () => {
  using time = fakeTime();
  const { lease } = setUp(time);
  assert.equal(lease.owner(), undefined);
  assert.equal(lease.mayStart(), false);
  assert.equal(lease.ageMs(), Infinity);
});

test('a started lease is held, has told its clock, and is renewed long before it ends', async () => {
  using time = fakeTime();
  const { lease, store, databaseClock, timesHeld } = setUp(time);
  await lease.start();
  assert.equal(databaseClock.nowMs(), store.nowMs());
  const owner = lease.owner();
  for (let second = 0; second < 30; second++) {
    await time.advance(1_000, 50);
    assert.equal(lease.mayStart(), true);
    assert.equal(lease.owner(), owner);
    assert.ok(store.expiresInMs(owner) > ttlMs / 2);
    assert.ok(lease.ageMs() < ttlMs / 2);
  }
  assert.equal(store.rows.size, 1);
  assert.ok(timesHeld() >= 20);
});

test('without renewals trust ends well before anybody else can see the lease expire', async () => {
  using time = fakeTime();
  const { lease, store } = setUp(time);
  await lease.start();
  store.before = () => Promise.reject(new Error('the database is gone'));
  const owner = lease.owner();
  let lastStartExpiresInMs = Infinity;
  for (let ms = 0; ms < 2 * ttlMs; ms += 10) {
    await time.advance(10, 10);
    if (lease.mayStart()) lastStartExpiresInMs = store.expiresInMs(owner);
  }
  assert.equal(lease.mayStart(), false);
  assert.ok(lastStartExpiresInMs >= ttlMs / 5, `${lastStartExpiresInMs} ms before the expiry`);
  assert.ok(lastStartExpiresInMs < ttlMs, 'it may start for a while');
});

test('a renewal counts from when it was sent, not from when its answer came', async () => {
  using time = fakeTime();
  const { lease, store } = setUp(time);
  await lease.start();
  store.before = () => new Promise((resolve) => setTimeout(resolve, 3_900));
  // Granted at the end of its 3.9 s, for 5 s from then; here it holds 4 s from the sending.
  await time.advance(1_000 + 3_900, 50);
  assert.equal(lease.mayStart(), true);
  store.before = () => Promise.reject(new Error('gone'));
  await time.advance(150, 50);
  assert.equal(lease.mayStart(), false);
  assert.ok(store.expiresInMs(lease.owner()) > 4_000);
});

test('trust that ended comes back with the same identity if the heartbeat had not lapsed', async () => {
  using time = fakeTime();
  const { lease, store, lost } = setUp(time);
  await lease.start();
  const owner = lease.owner();
  // Each try fails after 300 ms: they are sent at 1.0, 2.3, 3.6 and, in time, at 4.9 s.
  store.before = () => new Promise((_, reject) => setTimeout(() => reject(new Error('gone')), 300));
  await time.advance(4_300, 50);
  assert.equal(lease.mayStart(), false);
  store.before = () => Promise.resolve();
  await time.advance(650, 50);
  assert.equal(lease.mayStart(), true);
  assert.equal(lease.owner(), owner);
  assert.deepEqual(lost, []);
});

test('a heartbeat that lapsed is never renewed: the old identity is given up, a new one begins', async () => {
  using time = fakeTime();
  const { lease, store, lost } = setUp(time);
  await lease.start();
  const before = lease.owner();
  store.before = () => Promise.reject(new Error('gone'));
  await time.advance(ttlMs + 1_000, 50);
  assert.deepEqual(lost, []);
  store.before = () => Promise.resolve();
  await time.advance(1_100, 50);
  assert.deepEqual(lost, [before]);
  assert.notEqual(lease.owner(), before);
  assert.notEqual(lease.owner(), undefined);
  assert.equal(lease.mayStart(), true);
  assert.ok(store.expiresInMs(before) <= 0);
});

test('one that was declared dead meanwhile is given up even though its time was not over', async () => {
  using time = fakeTime();
  const { lease, store, lost } = setUp(time);
  await lease.start();
  const before = lease.owner() ?? -1;
  store.rows.set(before, { expiresAtMs: Infinity, dead: true });
  await time.advance(1_100, 50);
  assert.deepEqual(lost, [before]);
  assert.notEqual(lease.owner(), before);
});

test('between losing one identity and registering the next nothing may start', async () => {
  using time = fakeTime();
  const { lease, store, lost } = setUp(time);
  await lease.start();
  store.rows.clear();
  store.before = (call) =>
    call === 'register' ? Promise.reject(new Error('full')) : Promise.resolve();
  await time.advance(1_100, 50);
  assert.equal(lost.length, 1);
  assert.equal(lease.owner(), undefined);
  assert.equal(lease.mayStart(), false);
  store.before = () => Promise.resolve();
  await time.advance(1_100, 50);
  assert.equal(lease.mayStart(), true);
  assert.equal(lost.length, 1);
});

for (const [what, step] of [
  ['the wall clock set back an hour', (time: FakeTime) => time.stepWall(-3_600_000)],
  ['the wall clock set forward by 150 ms', (time: FakeTime) => time.stepWall(150)],
  ['the wall clock set back by 150 ms', (time: FakeTime) => time.stepWall(-150)],
] as const) {
  test(`after ${what} nothing starts before a new renewal`, async () => {
    using time = fakeTime();
    const { lease, store } = setUp(time);
    await lease.start();
    const renewals = store.calls.length;
    step(time);
    assert.equal(lease.mayStart(), false);
    assert.equal(store.calls.length, renewals + 1, 'the renewal is sent at once');
    assert.equal(lease.mayStart(), false);
    assert.equal(store.calls.length, renewals + 1, 'and only once');
    await settled();
    assert.equal(lease.mayStart(), true);
  });
}

test('clocks that moved apart by less than 100 ms change nothing', async () => {
  using time = fakeTime();
  const { lease, store } = setUp(time);
  await lease.start();
  const renewals = store.calls.length;
  time.stepWall(90);
  assert.equal(lease.mayStart(), true);
  time.stepWall(-180);
  assert.equal(lease.mayStart(), true);
  assert.equal(store.calls.length, renewals);
});

test('a renewal sent before a clock stepped does not bring trust back', async () => {
  using time = fakeTime();
  const { lease, store } = setUp(time);
  await lease.start();
  let answer: () => void = () => undefined;
  store.before = () => new Promise((resolve) => (answer = resolve));
  await time.advance(1_000, 50);
  assert.equal(store.calls.at(-1), 'renew');
  time.stepWall(-60_000);
  assert.equal(lease.mayStart(), false);
  answer();
  await settled();
  assert.equal(lease.mayStart(), false);
  answer();
  await settled();
  assert.equal(lease.mayStart(), true);
});

test('a machine that was suspended longer than the lease starts nothing when it wakes', async () => {
  using time = fakeTime();
  const { lease, store, lost } = setUp(time);
  await lease.start();
  // The monotonic clock stood still; the wall clock and the database did not.
  time.stepWall(60_000);
  for (const row of store.rows.values()) row.expiresAtMs -= 60_000;
  assert.equal(lease.mayStart(), false);
  await time.advance(1_100, 50);
  assert.equal(lost.length, 1);
  assert.equal(lease.mayStart(), true);
});

test('a monotonic clock that ran on alone ends trust too', async () => {
  using time = fakeTime();
  const { lease } = setUp(time);
  await lease.start();
  time.stepMonotonic(ttlMs);
  assert.equal(lease.mayStart(), false);
});

test('after stop no renewal is sent; retire gives the identity up once; both may be repeated', async () => {
  using time = fakeTime();
  const { lease, store } = setUp(time);
  await lease.start();
  const owner = lease.owner() ?? -1;
  await lease.stop();
  await lease.stop();
  const calls = store.calls.length;
  await time.advance(3_000, 50);
  assert.equal(store.calls.length, calls);
  await lease.retire();
  await lease.retire();
  assert.equal(store.calls.filter((call) => call === 'retire').length, 1);
  assert.equal(store.rows.get(owner)?.dead, true);
  assert.equal(lease.owner(), undefined);
  assert.equal(lease.mayStart(), false);
});

test('stop waits for the renewal that is under way', async () => {
  using time = fakeTime();
  const { lease, store } = setUp(time);
  await lease.start();
  let answer: () => void = () => undefined;
  store.before = () => new Promise((resolve) => (answer = resolve));
  await time.advance(1_000, 50);
  let stopped = false;
  const stopping = lease.stop().then(() => (stopped = true));
  await settled();
  assert.equal(stopped, false);
  answer();
  await stopping;
});
