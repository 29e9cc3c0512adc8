import type { Logger } from '../telemetry/log.ts';

/** Turn after turn, with pauses between them that can be cut short. */
export interface ClaimLoop {
  start(): void;
  /** Resolves when the turn under way is over; no other begins. */
  stop(): Promise<void>;
  hasRun(): boolean;
  /** Ends the pause under way, or the next one before it begins. */
  lookNow(): void;
  /** Milliseconds since a turn was last completed. */
  ageMs(): number;
}

const backOffLeastMs = 100;
const backOffMaxMs = 2_000;

export function createClaimLoop(options: {
  /** Resolves with how long to pause before the next. */
  turn: () => Promise<number>;
  log: Logger;
  monotonicMs: () => number;
}): ClaimLoop {
  const { turn, log, monotonicMs } = options;
  let isRunning = false;
  let loop: Promise<void> | undefined;
  let turnAtMs = monotonicMs();
  let wake: (() => void) | undefined;
  let isWokenEarly = false;

  async function run(): Promise<void> {
    let pauseMs = 0;
    let backOffMs = 0;
    while (isRunning) {
      await pause(pauseMs);
      // oxlint-disable-next-line typescript/no-unnecessary-condition -- it may have been stopped meanwhile
      if (!isRunning) return;
      try {
        pauseMs = await turn();
        backOffMs = 0;
        turnAtMs = monotonicMs();
      } catch (err) {
        backOffMs = Math.min(Math.max(backOffLeastMs, backOffMs * 2), backOffMaxMs);
        pauseMs = backOffMs;
        log.warn({ err, retryInMs: backOffMs }, 'could not claim timers');
      }
    }
  }

  function pause(ms: number): Promise<void> {
    if (isWokenEarly) {
      isWokenEarly = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      function done(): void {
        clearTimeout(timer);
        wake = undefined;
        isWokenEarly = false;
        resolve();
      }
      wake = done;
    });
  }

  function lookNow(): void {
    if (wake === undefined) isWokenEarly = true;
    else wake();
  }

  return {
    start() {
      isRunning = true;
      loop = run();
    },
    async stop() {
      isRunning = false;
      lookNow();
      await loop;
    },
    hasRun: () => loop !== undefined,
    lookNow,
    ageMs: () => monotonicMs() - turnAtMs,
  };
}
