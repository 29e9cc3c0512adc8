/** One armed timeout, for the earliest thing that is waited for. */
export interface Alarm {
  /** Rings after `delayMs`, in place of whatever it was set to before. */
  set(delayMs: number): void;
  clear(): void;
}

const timeoutMaxMs = 2 ** 31 - 1;

/**
 * `ring` looks at the clock itself: a timeout may come up to a millisecond early. Delays round
 * down, so that it comes early rather than late, with 1 ms as the least.
 */
export function createAlarm(ring: () => void): Alarm {
  let timer: NodeJS.Timeout | undefined;
  return {
    set(delayMs) {
      clearTimeout(timer);
      timer = setTimeout(ring, Math.min(Math.max(1, Math.floor(delayMs)), timeoutMaxMs));
    },
    clear() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
