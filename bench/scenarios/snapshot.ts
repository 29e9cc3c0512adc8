import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Scenario } from '../harness/bench.ts';
import { median } from '../harness/summary.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import { holdSnapshot, seedFarFuture } from '../store.ts';
import { burstOf } from './burst.ts';
import { drainInPlace } from './drain.ts';

/**
 * What an old snapshot does to a queue table is let dead entries pile up in the index: it depends on
 * the timers finished since, not on the minutes. Three rounds of a burst and a drain finish 210,000
 * timers under it, over 200,000 that only wait. Each side starts from a fresh database.
 */
const ROUNDS = 3;

export const snapshot: Scenario = {
  name: 'snapshot',
  title: 'burst and drain with an old snapshot held open / the same without it (as "floor")',
  async run(bench) {
    const ageMs = bench.snapshotAgeSeconds * 1000;
    for (const run of bench.runs) {
      // The order alternates here too, by which database comes first.
      const first = await rounds(bench, { held: run % 2 === 0, ageMs });
      const second = await rounds(bench, { held: run % 2 !== 0, ageMs });
      const [held, free] = run % 2 === 0 ? [first, second] : [second, first];
      const bars = [{ of: 'ratio', atLeast: 0.9 }] as const;
      for (const kind of ['burst', 'drain'] as const) {
        const [ours, floor] = [median(held[kind]), median(free[kind])];
        bench.record({ name: `${kind}, median round`, unit: '/s', ours, floor, bars });
        const last = { ours: held[kind].at(-1) ?? NaN, floor: free[kind].at(-1) ?? NaN };
        bench.record({ name: `${kind}, last round`, unit: '/s', ...last, bars });
      }
    }
  },
};

interface Rounds {
  readonly burst: number[];
  readonly drain: number[];
}

async function rounds(
  bench: Bench,
  { held, ageMs }: { held: boolean; ageMs: number },
): Promise<Rounds> {
  await using belfry = await startBelfry();
  await seedFarFuture(belfry, bench.size(200_000, 20_000));
  // Both sides begin warm; the snapshot is taken after that.
  await burstOf(bench, belfry, bench.size(5_000, 1_000));
  if (!held) return await measureRounds(bench, belfry);
  await using _snapshot = await holdSnapshot(belfry);
  await sleep(ageMs);
  return await measureRounds(bench, belfry);
}

async function measureRounds(bench: Bench, belfry: Belfry): Promise<Rounds> {
  const result: Rounds = { burst: [], drain: [] };
  for (let round = 0; round < ROUNDS; round++) {
    const burst = await burstOf(bench, belfry, bench.size(20_000, 2_000));
    result.burst.push(burst.perSecond);
    const drain = await drainInPlace(bench, belfry, bench.size(50_000, 5_000));
    result.drain.push(drain.perSecond);
  }
  return result;
}
