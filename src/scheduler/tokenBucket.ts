import type { MachineClock } from '../core/clock.ts';

/** Allows so many per second, with a burst of a quarter of a second's worth (at least one). */
export interface TokenBucket {
  /** Whole tokens there are now. */
  available(): number;
  /** Milliseconds until there is a whole one; 0 when there is. */
  nextInMs(): number;
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

  function fill(): void {
    const nowMs = clock.monotonicMs();
    tokens = Math.min(burst, tokens + ((nowMs - filledAtMs) / 1_000) * perSecond);
    filledAtMs = nowMs;
  }

  return {
    available() {
      fill();
      return Math.max(0, Math.floor(tokens));
    },
    nextInMs() {
      fill();
      return tokens >= 1 ? 0 : ((1 - tokens) / perSecond) * 1_000;
    },
    take(count) {
      tokens -= count;
    },
  };
}
