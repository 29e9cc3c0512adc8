import { alternate, recordCpu, type Bench, type Scenario } from '../harness/bench.ts';
import { startChild, type Child } from '../harness/child.ts';
import { cpuPerTimer, startMeter, type Metered } from '../harness/processUsage.ts';
import { startBelfry } from '../belfry.ts';
import type { Client } from '../harness/connection.ts';
import type { Created, CreateLoad } from '../driver.ts';
import type { BareFastifyHandlers } from '../floors/bareFastify.ts';

const CONNECTIONS = 32;
const HOUR_MS = 3_600_000;

const variants = [
  { label: 'raw', client: 'raw', fields: 'plain', atLeast: 0.8 },
  { label: 'raw, all fields', client: 'raw', fields: 'full', atLeast: 0.75 },
  { label: 'undici', client: 'undici', fields: 'plain', atLeast: 0.8 },
] as const;

/**
 * Each client is its own pair of ours and floor: what the client costs is in both, so a dear one
 * hides the difference between them. `raw` is the strict one; `undici` is what a Node program uses;
 * `all fields` says of a timer about everything that can be said.
 *
 * The second floor commits what it accepts and does nothing else: how far that is below the first
 * is the price of durability on the machine at hand, whoever pays it.
 */
export const create: Scenario = {
  name: 'create',
  title: `POST /timers, ${CONNECTIONS} keep-alive connections / bare Fastify POST of the same body`,
  async run(bench) {
    await using belfry = await startBelfry();
    await using fastify = await startBareFastify();
    await using keeping = await startBareFastify();
    await keeping.call('keepIn', belfry.databaseUrl);
    const targets = {
      ours: { port: belfry.port, metered: belfry.metered },
      floor: await floorOf(fastify),
      durable: await floorOf(keeping, belfry.metered.postgres),
    };
    const durationMs = bench.size(6_000, 1_000);

    for (const { label, client, fields, atLeast } of variants) {
      const run = (target: keyof typeof targets) => () =>
        createFor(bench, { ...targets[target], client, fields, durationMs });
      for (const target of ['ours', 'floor', 'durable'] as const) await run(target)();
      for (const number of bench.runs) {
        const [service, bare] = await alternate(number, run('ours'), run('floor'));
        const durable = await run('durable')();
        const bars = [{ of: 'ratio', atLeast }] as const;
        const pair = (name: string, of: (created: Created) => number, floor = bare) =>
          ({ name: `${label}: ${name}`, ours: of(service), floor: of(floor) }) as const;
        const perSecond = (made: Created) => made.perSecond;
        bench.record({ ...pair('timers', perSecond), unit: '/s', bars });
        bench.record({ ...pair('timers / durable floor', perSecond, durable), unit: '/s' });
        bench.record({ ...pair('latency p50', (made) => made.latency.p50), unit: 'ms' });
        bench.record({ ...pair('latency p99', (made) => made.latency.p99), unit: 'ms' });
        recordCpu(bench, `${label}: `, service.cpu, bare.cpu);
        recordCpu(bench, `${label} / durable floor: `, service.cpu, durable.cpu);
      }
    }
  },
};

function startBareFastify(): Promise<Child<BareFastifyHandlers>> {
  return startChild<BareFastifyHandlers>(new URL('../floors/bareFastify.ts', import.meta.url));
}

async function floorOf(fastify: Child<BareFastifyHandlers>, postgres?: Metered) {
  const belfry = { kind: 'process', pid: fastify.pid } as const;
  const metered = { belfry, ...(postgres === undefined ? {} : { postgres }) };
  return { port: await fastify.call('listen'), metered };
}

/** Closed loop for a time, with the CPU that every process took. */
export async function createFor(
  bench: Bench,
  target: {
    port: number;
    metered: Readonly<Record<string, Metered>>;
    client: Client;
    fields?: CreateLoad['fields'];
    token?: string;
    durationMs: number;
  },
): Promise<Created & { cpu: Record<string, number> }> {
  const { port, metered, client, fields = 'plain', token, durationMs } = target;
  const read = startMeter({ ...metered, driver: { kind: 'process', pid: bench.driver.pid } });
  const created = await bench.driver.call('create', {
    port,
    sinkPort: bench.sinkPort,
    client,
    fields,
    ...(token === undefined ? {} : { token }),
    connections: CONNECTIONS,
    pace: { kind: 'closedFor', durationMs },
    due: { kind: 'ahead', fromMs: HOUR_MS, toMs: 2 * HOUR_MS },
  });
  assertAccepted(created);
  return { ...created, cpu: cpuPerTimer(read(), created.created) };
}

/** A refused timer would count as a fast one. */
export function assertAccepted({ refused }: Created): void {
  if (Object.keys(refused).length > 0) {
    throw new Error(`creates were refused, by status: ${JSON.stringify(refused)}`);
  }
}
