import { mock } from 'node:test';
import type { MachineClock } from '../../../src/core/clock.ts';

/** Time that passes only when told to: both clocks of the machine, and every `setTimeout`. */
export interface FakeTime extends Disposable {
  readonly clock: MachineClock;
  /** Lets time pass in steps; after each, what is due rings and promises run on. */
  advance(ms: number, stepMs?: number): Promise<void>;
  /** Moves one clock alone: set by hand, or a machine that was suspended. No timeout rings. */
  stepWall(ms: number): void;
  stepMonotonic(ms: number): void;
}

export function fakeTime(): FakeTime {
  mock.timers.enable({ apis: ['setTimeout'] });
  let monotonicMs = 1_000;
  let wallMs = Date.UTC(2030, 0, 1);
  return {
    clock: { monotonicMs: () => monotonicMs, wallMs: () => wallMs },
    async advance(ms, stepMs = 1) {
      for (let left = ms; left > 0; left -= stepMs) {
        const step = Math.min(stepMs, left);
        monotonicMs += step;
        wallMs += step;
        mock.timers.tick(step);
        await settled();
      }
    },
    stepWall(ms) {
      wallMs += ms;
    },
    stepMonotonic(ms) {
      monotonicMs += ms;
    },
    [Symbol.dispose]: () => mock.timers.reset(),
  };
}

/** Lets all promises that can go on do so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
