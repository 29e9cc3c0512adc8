import { performance } from 'node:perf_hooks';
import type { Client } from 'pg';
import type { Bench, Scenario } from '../harness/bench.ts';
import { median } from '../harness/summary.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import { registerProcess, seedFarFuture, seedOwned, type OwnedEnd } from '../store.ts';
import { claimAhead } from '../../src/store/claim.ts';

const OWNED = 10_000;
const POLLS = 200;
const LOOK_AHEAD_MS = 1_000;

/** The owner and claim that the polls would write, if they found anything: they must not. */
const POLLER = [987_654_321, 1] as const;

export const emptyPoll: Scenario = {
  name: 'empty-poll',
  title: `the claim statement with nothing to claim and ${OWNED} owned before it / from the beginning of the index`,
  async run(bench) {
    await using belfry = await startBelfry();
    await seedFarFuture(belfry, bench.size(1_000_000, 20_000));
    const end = await seedOwned(belfry, OWNED);
    await registerProcess(belfry, POLLER[0]);
    const client = await belfry.connect();
    for (const _ of bench.runs) await measure(bench, client, end);
    await client.end();
    await assertNothingClaimed(belfry);
  },
};

async function measure(bench: Bench, client: Client, end: OwnedEnd): Promise<void> {
  const fromFloor = [end.nextAt, end.id, LOOK_AHEAD_MS, 4096, ...POLLER];
  const fromStart = ['-infinity', 0, LOOK_AHEAD_MS, 4096, ...POLLER];
  const bars = [{ of: 'ours', atMost: 2 }] as const;
  bench.record({
    name: 'round trip, median of 200',
    unit: 'ms',
    ours: await roundTripMs(client, fromFloor),
    floor: await roundTripMs(client, fromStart),
    bars,
  });
  // The service prepares its statements: after five executions it may get either kind of plan.
  for (const mode of ['force_custom_plan', 'force_generic_plan'] as const) {
    const plan = await explain(client, mode, fromFloor);
    const name = mode.replaceAll('_', ' ').replace('force ', '');
    bench.record({ name: `executed, ${name}`, unit: 'ms', ours: plan.executionMs, bars });
    bench.record({
      name: `Index Cond on both ends, ${name}`,
      unit: '',
      ours: hasBothEnds(plan.indexConditions) ? 1 : 0,
      bars: [{ of: 'ours', atLeast: 1 }],
    });
    bench.note(`${name}: Index Cond ${plan.indexConditions.join(' | ')}`);
  }
}

async function roundTripMs(client: Client, values: unknown[]): Promise<number> {
  const times: number[] = [];
  for (let poll = 0; poll < POLLS; poll++) {
    const startMs = performance.now();
    await client.query({ ...claimAhead, values });
    times.push(performance.now() - startMs);
  }
  return median(times);
}

interface Plan {
  readonly executionMs: number;
  readonly indexConditions: readonly string[];
}

async function explain(
  client: Client,
  mode: 'force_custom_plan' | 'force_generic_plan',
  values: readonly unknown[],
): Promise<Plan> {
  await client.query(`SET plan_cache_mode = ${mode}`);
  await client.query(`PREPARE bench_poll AS ${claimAhead.text}`);
  const literals = values.map((value) => `'${String(value)}'`).join(', ');
  const { rows } = await client.query<{ 'QUERY PLAN': unknown }>(
    `EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE bench_poll(${literals})`,
  );
  await client.query('DEALLOCATE bench_poll');
  await client.query('RESET plan_cache_mode');
  const text = JSON.stringify(rows[0]?.['QUERY PLAN']);
  // A poll that is cut short before it looks at the index would be a fast one.
  if (!/"Index Name":"timers_next_at"[^{}]*"Actual Loops":[1-9]/.test(text)) {
    throw new Error(`the poll did not look at timers_next_at: ${text}`);
  }
  const conditions = [...text.matchAll(/"Index Cond":"((?:[^"\\]|\\.)*)"/g)];
  return {
    executionMs: Number(/"Execution Time":([\d.]+)/.exec(text)?.[1] ?? NaN),
    indexConditions: conditions.map(([, condition]) => condition ?? ''),
  };
}

function hasBothEnds(conditions: readonly string[]): boolean {
  return conditions.some((text) => /next_at >=? /.test(text) && /next_at <=? /.test(text));
}

async function assertNothingClaimed(belfry: Belfry): Promise<void> {
  const { rows } = await belfry.query(
    'SELECT count(*)::integer AS claimed FROM belfry.timers WHERE owner = $1',
    [POLLER[0]],
  );
  if (rows[0]?.claimed !== 0) throw new Error('the polls were not empty');
}
