import type { DriverHandlers } from '../driver.ts';
import type { SinkHandlers } from '../sink.ts';
import type { Child } from './child.ts';

/** One thing to measure, beside its floor, in every run. */
export interface Scenario {
  readonly name: string;
  /** What is measured and against what, for the heading of its table. */
  readonly title: string;
  run(bench: Bench): Promise<void>;
}

/** What a scenario gets: the sink and the driver that all share, its sizes, and where figures go. */
export interface Bench {
  /** 0, 1, … Loop over it with ours and the floor inside, so that both meet the same noise. */
  readonly runs: readonly number[];
  readonly sink: Child<SinkHandlers>;
  readonly sinkPort: number;
  readonly driver: Child<DriverHandlers>;
  /** How old the snapshot is when the rounds under it begin. */
  readonly snapshotAgeSeconds: number;
  /** Timers of one project that are due within the same second. */
  readonly crowd: number;
  /** The full size, or the small one under `--quick`. */
  size<T>(full: T, quick: T): T;
  record(measure: Measure): void;
  note(text: string): void;
}

/** A figure of one run. Figures of the same name are reduced to medians over the runs. */
export interface Measure {
  readonly name: string;
  readonly unit: Unit;
  readonly ours: number;
  readonly floor?: number;
  readonly bars?: readonly Bar[];
}

export type Unit = '/s' | 'ms' | 'µs' | 'MB' | '%' | '';

/** What the project promises itself. A missed bar is printed; it never fails the run. */
export interface Bar {
  readonly of: 'ratio' | 'ours';
  readonly atLeast?: number;
  readonly atMost?: number;
  /** A goal to go past, not a bar to meet. */
  readonly goal?: boolean;
}

/** Ours first in the even runs, the floor first in the odd ones: neither always inherits a warm cache. */
export async function alternate<O, F>(
  run: number,
  ours: () => Promise<O>,
  floor: () => Promise<F>,
): Promise<[O, F]> {
  if (run % 2 === 0) {
    const first = await ours();
    return [first, await floor()];
  }
  const first = await floor();
  return [await ours(), first];
}

/** One row of CPU per timer for each process; the floor's figure beside it where it plays that part. */
export function recordCpu(
  bench: Bench,
  prefix: string,
  ours: Readonly<Record<string, number>>,
  floor: Readonly<Record<string, number>> = {},
): void {
  for (const [part, value] of Object.entries(ours)) {
    const beside = floor[part];
    const name = `${prefix}CPU a timer, ${part}`;
    const measure = { name, unit: 'µs', ours: value } as const;
    bench.record(beside === undefined ? measure : { ...measure, floor: beside });
  }
}
