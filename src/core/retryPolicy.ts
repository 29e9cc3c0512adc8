/** How failed attempts are repeated. Durations in milliseconds. */
export interface RetryPolicy {
  /** Attempts in all, the first included; 1 means never again. */
  readonly attemptsMax: number;
  /** Wait after the first failure. */
  readonly baseMs: number;
  /** Each further wait is this many times the one before. */
  readonly factor: number;
  /** No wait is longer than this (before jitter). */
  readonly capMs: number;
  /** Share by which a wait is moved at random, both ways: 0.2 is ±20 %. */
  readonly jitter: number;
}

/**
 * The wait after the `failures`-th failure (1, 2, …), in whole milliseconds: exponential with a
 * cap, spread by jitter so that timers that failed together do not come back together.
 * `random` gives a number in [0, 1).
 */
export function retryDelayMs(policy: RetryPolicy, failures: number, random: () => number): number {
  const exponential = policy.baseMs * policy.factor ** (failures - 1);
  const capped = Math.min(exponential, policy.capMs);
  return Math.ceil(capped * (1 + policy.jitter * (2 * random() - 1)));
}
