import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { createDestinations, type Place } from '../../src/delivery/destinations.ts';

const slots = 100;
const at = { projectId: 1, origin: 'http://slow' };

/** Attempts that all last as long, from the start; how many began in each 10 ms. */
function receiver(options: { lastsMs: () => number; timers: number }) {
  let nowMs = 0;
  mock.timers.enable({ apis: ['setTimeout'] });
  const destinations = createDestinations({
    perDestination: slots,
    total: 1_000,
    monotonicMs: () => nowMs,
  });
  const ends = new Map<Place, number>();
  const begun: number[] = [];
  const places: Place[] = [];
  function add(): void {
    const waiting = destinations.acquire(at, (place) => {
      begun.push(nowMs);
      ends.set(place, nowMs + options.lastsMs());
    });
    places.push(waiting);
  }
  for (let left = options.timers; left > 0; left--) add();
  return {
    begun,
    add,
    leaveAll: () => {
      for (const place of places) destinations.leave(place);
    },
    in10Ms: () => {
      const counts = new Map<number, number>();
      for (const ms of begun) {
        const step = Math.floor(ms / 10);
        counts.set(step, (counts.get(step) ?? 0) + 1);
      }
      return counts;
    },
    pass(ms: number): void {
      for (const until = nowMs + ms; nowMs < until;) {
        nowMs += 1;
        for (const [place, endMs] of ends) {
          if (endMs > nowMs) continue;
          ends.delete(place);
          destinations.release(place);
        }
        mock.timers.tick(1);
      }
    },
    [Symbol.dispose]: () => mock.timers.reset(),
  };
}

test('attempts that ended together in their timeout are not begun together again', () => {
  using slow = receiver({ lastsMs: () => 3_000, timers: 1_000 });
  assert.equal(slow.begun.length, slots, 'of one that is not known, all slots at once');
  slow.pass(16_000);
  for (const [step, count] of slow.in10Ms()) {
    assert.ok(step === 0 || count <= 8, `${count} within 10 ms, at ${step * 10} ms`);
  }
  // All slots in use but for the pause between the first and the second: five rounds and the sixth begun.
  assert.ok(slow.begun.length >= 5 * slots, `${slow.begun.length} in 16 s`);
});

test('one that is quick is not held back, and one that recovers is not for long', () => {
  using quick = receiver({ lastsMs: () => 10, timers: 20_000 });
  quick.pass(1_000);
  assert.ok(quick.begun.length >= 95 * slots, `${quick.begun.length} in 1 s`);
  mock.timers.reset();
  let lastsMs = 3_000;
  using recovering = receiver({ lastsMs: () => lastsMs, timers: 20_000 });
  recovering.pass(2_999);
  lastsMs = 10;
  recovering.pass(1_001);
  assert.ok(recovering.begun.length >= 50 * slots, `${recovering.begun.length} a second later`);
});

test('what is due while slots are free begins at once, however slow the receiver is', () => {
  using slow = receiver({ lastsMs: () => 3_000, timers: 2 * slots });
  slow.pass(8_000);
  assert.equal(slow.begun.length, 2 * slots);
  slow.add();
  slow.pass(2_000);
  for (let left = 50; left > 0; left--) slow.add();
  assert.equal(slow.begun.length, 2 * slots + 51);
});

test('where those that wait for their turn have left, who comes next gets it', () => {
  using slow = receiver({ lastsMs: () => 3_000, timers: 2 * slots });
  slow.pass(3_001);
  const begun = slow.begun.length;
  assert.ok(begun > slots && begun < 2 * slots, `${begun}`);
  slow.leaveAll();
  slow.pass(10_000);
  assert.equal(slow.begun.length, begun, 'they have left');
  slow.add();
  slow.pass(50);
  assert.equal(slow.begun.length, begun + 1);
});
