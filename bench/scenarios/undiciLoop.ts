import type { Bench } from '../harness/bench.ts';
import type { Child } from '../harness/child.ts';
import { cpuPerTimer, startMeter } from '../harness/processUsage.ts';
import type { BareLoopHandlers } from '../floors/bareLoop.ts';

export interface Delivered {
  readonly perSecond: number;
  readonly cpu: Record<string, number>;
}

/** 64 and 128 connections were the best for undici; which of them wins varies: the floor is the better. */
export async function bestLoop(
  bench: Bench,
  loop: Child<BareLoopHandlers>,
  count: number,
): Promise<Delivered> {
  const narrow = await loopOf(bench, loop, { count, connections: 64 });
  const wide = await loopOf(bench, loop, { count, connections: 128 });
  return narrow.perSecond > wide.perSecond ? narrow : wide;
}

async function loopOf(
  bench: Bench,
  loop: Child<BareLoopHandlers>,
  { count, connections }: { count: number; connections: number },
): Promise<Delivered> {
  const { sink, sinkPort } = bench;
  await sink.call('reset');
  const read = startMeter({
    belfry: { kind: 'process', pid: loop.pid },
    sink: { kind: 'process', pid: sink.pid },
  });
  await loop.call('run', { sinkPort, count, connections });
  const arrivals = await sink.call('waitFor', { distinct: count, deadlineMs: 60_000 });
  return {
    perSecond: (count / (arrivals.lastMs - arrivals.firstMs)) * 1000,
    cpu: cpuPerTimer(read(), count),
  };
}
