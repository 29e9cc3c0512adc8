import type { Bar, Measure, Unit } from './bench.ts';

/** The medians of one figure over its runs. */
export interface Row {
  readonly scenario: string;
  readonly name: string;
  readonly unit: Unit;
  readonly ours: Series;
  readonly floor?: Series;
  /** Ours over floor, within each run; then the median. */
  readonly ratio?: Series;
  readonly bars: readonly Verdict[];
}

export interface Series {
  readonly median: number;
  readonly runs: readonly number[];
}

export interface Verdict {
  readonly text: string;
  readonly met: boolean;
}

/** Keeps the order in which figures were first recorded. */
export function summarise(scenario: string, measures: readonly Measure[]): Row[] {
  const byName = Map.groupBy(measures, ({ name }) => name);
  return [...byName].map(([name, runs]) => row({ scenario, name, runs }));
}

function row(input: { scenario: string; name: string; runs: readonly Measure[] }): Row {
  const { scenario, name, runs } = input;
  const ours = series(runs.map((measure) => measure.ours));
  const floors = runs.flatMap(({ floor }) => (floor === undefined ? [] : [floor]));
  const ratios = runs.flatMap(({ ours, floor }) => (floor === undefined ? [] : [ours / floor]));
  const ratio = series(ratios);
  const bars = (runs[0]?.bars ?? []).map((bar) => judge(bar, bar.of === 'ours' ? ours : ratio));
  const unit = runs[0]?.unit ?? '';
  if (floors.length === 0) return { scenario, name, unit, ours, bars };
  return { scenario, name, unit, ours, floor: series(floors), ratio, bars };
}

function judge({ of, atLeast = -Infinity, atMost = Infinity, goal }: Bar, value: Series): Verdict {
  const sign = atLeast > -Infinity ? `≥ ${atLeast}` : `≤ ${atMost}`;
  const met = value.median >= atLeast && value.median <= atMost;
  return { text: `${goal ? 'goal ' : ''}${sign}${of === 'ratio' ? ' ×' : ''}`, met };
}

function series(runs: readonly number[]): Series {
  return { median: median(runs), runs };
}

/** NaN of nothing; the mean of the middle two of an even number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}
