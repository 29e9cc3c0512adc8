/** Wait before the first repetition, before it is spread. */
export const retryBaseMs = 250;
/** No wait of our own choosing is longer. */
export const retryCapMs = 10_000;

/**
 * The wait before the `repetition`-th repetition (1, 2, …) in milliseconds: exponential with a cap,
 * spread over its upper half so that clients that failed together do not come back together. What
 * the service asks for with Retry-After is the least; the spread then comes on top, for a whole
 * fleet may have been told the same second.
 * `random` gives a number in [0, 1).
 */
export function retryDelayMs(
  repetition: number,
  retryAfterMs: number | undefined,
  random: () => number,
): number {
  const wholeMs = Math.min(retryCapMs, retryBaseMs * 2 ** (repetition - 1));
  const spreadMs = wholeMs * (0.5 + random() / 2);
  return Math.ceil(retryAfterMs === undefined ? spreadMs : retryAfterMs + spreadMs / 2);
}
