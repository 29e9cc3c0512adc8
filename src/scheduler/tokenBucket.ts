import type { MachineClock } from '../core/clock.ts';

/** Allows so many per second, with a burst of a quarter of a second's worth (at least one). */
export interface TokenBucket {
  /** Whole tokens there are now. */
  available(): number;
  take(count: number): void;
}

export function createTokenBucket(options: {
  perSecond: number;
  clock: MachineClock;
}): TokenBucket {
  const { perSecond, clock } = options;
  const burst = Math.max(1, perSecond / 4);
  let tokens = burst;
  let filledAtMs = clock.monotonicMs();
  return {
    available() {
      const nowMs = clock.monotonicMs();
      tokens = Math.min(burst, tokens + ((nowMs - filledAtMs) / 1_000) * perSecond);
      filledAtMs = nowMs;
      return Math.floor(tokens);
    },
    take(count) {
      tokens -= count;
    },
  };
}
