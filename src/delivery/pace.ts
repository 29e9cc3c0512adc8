/** Spreads the starts of attempts at one origin. */
export interface Pace {
  /** Whether one may start now. If not, `onOpen` is called once one may. */
  take(): boolean;
  /** An attempt has ended that lasted so long. */
  ended(durationMs: number): void;
}

/** Below it so few end at the same moment that nobody else feels it. */
const slowFromMs = 250;
/** That many start at once after a pause. */
const burst = 8;
/** So many times as often as slots can come free in the long run. */
const timesFreed = 2;

/**
 * Attempts that run into the same timeout end together, and those that take their slots would start, and time
 * out, together again: a hundred sockets closed and opened in one turn of the event loop, which is felt by
 * all that is due then (25 ms, every 3 s, on a busy machine). So where attempts last long, those that had to
 * wait for a slot are spread by a token bucket, at twice the rate at which slots come free in the mean: it
 * parts those that ended together, once, and keeps no slot empty afterwards. What finds a slot free has not
 * waited, and is not asked.
 */
export function createPace(options: {
  slots: number;
  monotonicMs: () => number;
  onOpen: () => void;
}): Pace {
  const { slots, monotonicMs, onOpen } = options;
  /** How long attempts last: short ones count at once, a single long one little. */
  let lastsMs = 0;
  let tokens = burst;
  let filledAtMs = monotonicMs();
  let isWaiting = false;

  return {
    take() {
      if (lastsMs < slowFromMs) return true;
      const everyMs = lastsMs / (timesFreed * slots);
      const nowMs = monotonicMs();
      tokens = Math.min(burst, tokens + (nowMs - filledAtMs) / everyMs);
      filledAtMs = nowMs;
      if (tokens >= 1) {
        tokens -= 1;
        return true;
      }
      if (!isWaiting) {
        isWaiting = true;
        setTimeout(
          () => {
            isWaiting = false;
            onOpen();
          },
          Math.ceil((1 - tokens) * everyMs),
        ).unref();
      }
      return false;
    },
    ended(durationMs) {
      lastsMs += (durationMs - lastsMs) / (durationMs < lastsMs ? 2 : 4);
    },
  };
}
