import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLatencyRecorder, type Quantiles } from './latency.ts';

/** About what a commit of a few timers writes. */
const BYTES = 16 * 1024;
const EVERY_MS = 20;

/**
 * What a commit costs at the least: from now on a block is written and synced in `directory` every 20 ms, until
 * the returned function is called, which tells how long that took. Who waits for a commit cannot be
 * faster, whatever the service does. A sync that lasts longer counts once more for each that would have begun
 * meanwhile and waited for its end, as requests that come at a steady rate do (coordinated omission).
 */
export async function startDiskProbe(directory: string): Promise<() => Promise<Quantiles>> {
  const file = await open(join(directory, 'disk-probe'), 'w');
  const block = Buffer.alloc(BYTES, 1);
  const synced = createLatencyRecorder();
  let isOver = false;
  const done = probe();

  async function probe(): Promise<void> {
    try {
      while (!isOver) {
        const beganMs = performance.now();
        await file.write(block, 0, BYTES, 0);
        await file.datasync();
        const tookMs = performance.now() - beganMs;
        for (let ms = tookMs; ms > 0; ms -= EVERY_MS) synced.record(ms);
        await sleep(Math.max(0, EVERY_MS - tookMs));
      }
    } finally {
      await file.close();
    }
  }

  return async () => {
    isOver = true;
    await done;
    return synced.quantiles();
  };
}
