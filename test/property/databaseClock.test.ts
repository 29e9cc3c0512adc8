import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createDatabaseClock, driftPerMs } from '../../src/scheduler/databaseClock.ts';

/** One exchange with the database: how long before, how long each way, and the rates until then. */
const exchanges = fc.array(
  fc.record({
    pauseMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
    thereMs: fc.double({ min: 0, max: 5_000, noNaN: true }),
    backMs: fc.double({ min: 0, max: 5_000, noNaN: true }),
    drift: fc.double({ min: -driftPerMs, max: driftPerMs, noNaN: true }),
  }),
  { minLength: 1, maxLength: 40 },
);

/** Two clocks: the machine's monotonic one, and the database's, whose rate differs. */
function simulation(offsetMs: number) {
  let monotonicMs = 0;
  let databaseMs = offsetMs;
  const clock = createDatabaseClock({ monotonicMs: () => monotonicMs, wallMs: () => 0 });
  return {
    clock,
    databaseMs: () => databaseMs,
    pass(ms: number, drift: number) {
      monotonicMs += ms;
      databaseMs += ms * (1 + drift);
    },
    stepDatabase(ms: number) {
      databaseMs += ms;
    },
    exchange({ thereMs, backMs, drift }: { thereMs: number; backMs: number; drift: number }) {
      const sentAtMs = monotonicMs;
      this.pass(thereMs, drift);
      const shown = databaseMs;
      this.pass(backMs, drift);
      clock.sample(shown, sentAtMs, monotonicMs);
    },
  };
}

// Instants near 2e12 ms as doubles are exact to 0.0002 ms; sums of them lose a little more.
const roundingMs = 0.01;

test('the database clock is never ahead of the database, however replies were delayed', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2e12 }), exchanges, (offsetMs, steps) => {
      const world = simulation(offsetMs);
      assert.equal(world.clock.nowMs(), -Infinity);
      for (const step of steps) {
        world.pass(step.pauseMs, step.drift);
        assert.ok(world.clock.nowMs() <= world.databaseMs() + roundingMs);
        world.exchange(step);
        assert.ok(world.clock.nowMs() <= world.databaseMs() + roundingMs);
      }
    }),
    { numRuns: 500 },
  );
});

test('it is behind by no more than the quickest recent reply took, and the drift since', () => {
  fc.assert(
    fc.property(exchanges, (steps) => {
      const world = simulation(1e12);
      let behindMs = Infinity;
      for (const step of steps) {
        // Twice the drift: what may have been, and what is allowed for.
        behindMs += 2 * driftPerMs * (step.pauseMs + step.thereMs + step.backMs);
        world.pass(step.pauseMs, step.drift);
        world.exchange(step);
        behindMs = Math.min(behindMs, step.backMs * (1 + 2 * driftPerMs));
        // A reply that took no time there may seem to come from a clock set back, by the rounding of
        // the doubles alone; then a reply of less than a millisecond counts anew.
        assert.ok(world.databaseMs() - world.clock.nowMs() <= behindMs + 1);
      }
    }),
    { numRuns: 500 },
  );
});

test('a database clock that was set back is noticed by the next reply, up to its way there', () => {
  fc.assert(
    fc.property(
      exchanges,
      fc.double({ min: 0, max: 1e9, noNaN: true }),
      fc.double({ min: 0, max: 500, noNaN: true }),
      fc.double({ min: 0, max: 500, noNaN: true }),
      (steps, setBackMs, thereMs, backMs) => {
        const world = simulation(1e12);
        for (const step of steps) world.exchange(step);
        world.stepDatabase(-setBackMs);
        world.exchange({ thereMs, backMs, drift: 0 });
        // What a reply cannot tell apart from its own way to the database stays.
        assert.ok(world.clock.nowMs() <= world.databaseMs() + thereMs + roundingMs);
      },
    ),
    { numRuns: 500 },
  );
});

test('a database clock that was set forward is followed at once', () => {
  const world = simulation(1e12);
  world.exchange({ thereMs: 1, backMs: 1, drift: 0 });
  world.stepDatabase(3_600_000);
  world.exchange({ thereMs: 1, backMs: 1, drift: 0 });
  assert.equal(world.clock.nowMs(), world.databaseMs() - 1);
});

test('a slow reply does not spoil what a quick one told', () => {
  const world = simulation(1e12);
  world.exchange({ thereMs: 0.5, backMs: 0.5, drift: 0 });
  world.exchange({ thereMs: 500, backMs: 500, drift: 0 });
  assert.ok(world.databaseMs() - world.clock.nowMs() <= 0.5 + 1_000 * driftPerMs + roundingMs);
});
