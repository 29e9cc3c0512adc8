import { setTimeout as sleep } from 'node:timers/promises';

/** Polls until `check` gives something other than undefined or false; fails after the deadline. */
export async function eventually<Value>(
  what: string,
  check: () => Value | undefined | false | Promise<Value | undefined | false>,
  timeoutMs = 20_000,
): Promise<Value> {
  const giveUpAtMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > giveUpAtMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(10);
  }
}
