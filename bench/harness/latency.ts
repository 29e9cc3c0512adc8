import { build } from 'hdr-histogram-js';

/** Milliseconds. Zeros when nothing was recorded. */
export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface LatencyRecorder {
  record(ms: number): void;
  reset(): void;
  quantiles(): Quantiles;
}

/** Kept in whole microseconds with three significant digits: a p99 of 8 ms is good to 8 µs. */
export function createLatencyRecorder(): LatencyRecorder {
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 600_000_000,
    numberOfSignificantValueDigits: 3,
  });
  return {
    record: (ms) => histogram.recordValue(Math.max(0, Math.round(ms * 1000))),
    reset: () => histogram.reset(),
    quantiles: () => ({
      p50: histogram.getValueAtPercentile(50) / 1000,
      p90: histogram.getValueAtPercentile(90) / 1000,
      p99: histogram.getValueAtPercentile(99) / 1000,
      max: histogram.totalCount === 0 ? 0 : histogram.maxValue / 1000,
    }),
  };
}
