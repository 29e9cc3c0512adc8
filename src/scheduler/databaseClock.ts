import type { MachineClock } from '../core/clock.ts';

/**
 * The database's clock as this process knows it: a lower bound, so that nothing fires early by the
 * clock that set the due time. A reply carries the database's clock T; when it has arrived, that
 * clock shows at least T, so T − (arrival) is a lower bound of the offset, whatever the network did.
 * A midpoint estimate would be early on an asymmetric link.
 *
 * The best sample counts, less what the clocks may have drifted apart since. 500 ppm is the most by
 * which NTP slews a clock (RFC 5905, section 11.3 tolerates the same).
 */
export interface DatabaseClock {
  /** A reply with the database's clock: sent and received by the monotonic clock. */
  sample(databaseMs: number, sentAtMs: number, receivedAtMs: number): void;
  /** At most the database's clock now, in milliseconds of the Unix epoch; -Infinity before a sample. */
  nowMs(): number;
}

export const driftPerMs = 500e-6;

export function createDatabaseClock(clock: MachineClock): DatabaseClock {
  let offsetMs = -Infinity;
  let sampledAtMs = 0;

  const offsetAt = (monotonicMs: number) => offsetMs - driftPerMs * (monotonicMs - sampledAtMs);

  return {
    sample(databaseMs, sentAtMs, receivedAtMs) {
      const lowest = databaseMs - receivedAtMs;
      const highest = databaseMs - sentAtMs;
      const known = offsetAt(receivedAtMs);
      // Above the highest that this reply allows: the clock was set back, or it is another server's.
      if (lowest >= known || known > highest) {
        offsetMs = lowest;
        sampledAtMs = receivedAtMs;
      }
    },
    nowMs() {
      const monotonicMs = clock.monotonicMs();
      return monotonicMs + offsetAt(monotonicMs);
    },
  };
}
