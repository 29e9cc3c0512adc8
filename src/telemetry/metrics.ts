import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What this process counts; `GET /metrics` shows it. */
export interface Metrics {
  readonly registry: Registry;
  readonly created: Counter;
  readonly attempts: Counter<'result'>;
  readonly lateness: Histogram;
  readonly unprocessable: Counter<'what'>;
  readonly staleOutcomes: Counter;
  readonly takenOver: Counter;
  readonly leaseLost: Counter;
  readonly notStarted: Counter<'reason'>;
  readonly breakers: Counter<'reason'>;
  readonly parked: Counter<'lane'>;
  readonly pulled: Counter;
  readonly partitionsDropped: Counter<'table'>;
  readonly pastRowsDeleted: Counter<'table'>;
  readonly oldestPartition: Gauge<'table'>;
}

/** Lanes of destinations that are at work, as a process knows: timers wait in them, or nothing may start. */
export type LaneCounts = Readonly<Record<'limited' | 'closed', number>>;

export function createMetrics(
  held: () => number,
  laneCounts: () => LaneCounts = () => ({ limited: 0, closed: 0 }),
): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const heldGauge: Gauge = new Gauge({
    name: 'belfry_timers_held',
    help: 'Timers that this process has claimed and not yet recorded.',
    registers,
    collect: () => heldGauge.set(held()),
  });
  const lanesGauge: Gauge<'state'> = new Gauge({
    name: 'belfry_destination_lanes',
    help: 'Destinations at which timers wait: limited (by rate, concurrency, or slowness) or closed.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(laneCounts())) lanesGauge.set({ state }, count);
    },
  });
  return {
    registry,
    created: new Counter({
      name: 'belfry_timers_created_total',
      help: 'Timers committed by this process.',
      registers,
    }),
    attempts: new Counter({
      name: 'belfry_attempts_total',
      help: 'Attempts made by this process, by what they came to.',
      labelNames: ['result'],
      registers,
    }),
    lateness: new Histogram({
      name: 'belfry_lateness_seconds',
      help: 'Start of an attempt minus the instant it was due.',
      buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300],
      registers,
    }),
    staleOutcomes: new Counter({
      name: 'belfry_stale_outcomes_total',
      help: 'Outcomes refused because the timer had been taken over.',
      registers,
    }),
    unprocessable: new Counter({
      name: 'belfry_unprocessable_total',
      help: 'Attempts that came to nothing because of what is stored of the timer (attempt), and outcomes that could not be recorded (outcome).',
      labelNames: ['what'],
      registers,
    }),
    takenOver: new Counter({
      name: 'belfry_timers_taken_over_total',
      help: 'Timers taken over whose attempt by a dead process counts as lost.',
      registers,
    }),
    leaseLost: new Counter({
      name: 'belfry_leases_lost_total',
      help: 'Times that this process could not renew its heartbeat and started anew.',
      registers,
    }),
    notStarted: new Counter({
      name: 'belfry_not_started_total',
      help: 'Due timers whose attempt was not started, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    breakers: new Counter({
      name: 'belfry_breakers_opened_total',
      help: 'Destinations whose breaker this process has opened: failing, slowed (429, 503), or disabled.',
      labelNames: ['reason'],
      registers,
    }),
    parked: new Counter({
      name: 'belfry_timers_parked_total',
      help: 'Claimed timers that this process put into lanes, of paused projects or of destinations.',
      labelNames: ['lane'],
      registers,
    }),
    pulled: new Counter({
      name: 'belfry_timers_pulled_total',
      help: 'Timers that this process took out of the lanes of destinations.',
      registers,
    }),
    partitionsDropped: new Counter({
      name: 'belfry_partitions_dropped_total',
      help: 'Partitions past their retention that this process dropped.',
      labelNames: ['table'],
      registers,
    }),
    pastRowsDeleted: new Counter({
      name: 'belfry_past_rows_deleted_total',
      help: 'Rows past their retention that this process deleted one by one.',
      labelNames: ['table'],
      registers,
    }),
    oldestPartition: new Gauge({
      name: 'belfry_oldest_partition_timestamp_seconds',
      help: 'Start of the oldest partition as of the last look by this process.',
      labelNames: ['table'],
      registers,
    }),
  };
}
