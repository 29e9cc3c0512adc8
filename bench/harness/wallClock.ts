import { performance } from 'node:perf_hooks';

/** The wall clock in epoch milliseconds with a fraction good to a few microseconds. */
export interface WallClock {
  nowMs(): number;
  /** Measures again where the two clocks stand; takes about 5 ms. Do it before each phase. */
  anchor(): void;
}

/**
 * `Date.now()` has whole milliseconds, and `performance.timeOrigin` is fixed at the start of the
 * process while NTP slews the wall clock by up to 500 µs a second: after a minute it could call a
 * delivery early that was not. So the offset is measured at a tick of `Date.now()`. Whatever delays
 * the reading makes the offset too small, never too large: the largest of a few is the best one.
 */
export function createWallClock(): WallClock {
  let offsetMs = measureOffsetMs();
  return {
    nowMs: () => offsetMs + performance.now(),
    anchor: () => {
      offsetMs = measureOffsetMs();
    },
  };
}

function measureOffsetMs(): number {
  let bestMs = -Infinity;
  for (let ticks = 0; ticks < 5; ticks++) {
    const beforeMs = Date.now();
    let tickMs = beforeMs;
    while (tickMs === beforeMs) tickMs = Date.now();
    bestMs = Math.max(bestMs, tickMs - performance.now());
  }
  return bestMs;
}
