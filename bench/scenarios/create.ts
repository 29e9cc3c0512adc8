import { alternate, recordCpu, type Bench, type Scenario } from '../harness/bench.ts';
import { startChild } from '../harness/child.ts';
import { cpuPerTimer, startMeter, type Metered } from '../harness/processUsage.ts';
import { startBelfry } from '../belfry.ts';
import type { Client } from '../harness/connection.ts';
import type { Created } from '../driver.ts';
import type { BareFastifyHandlers } from '../floors/bareFastify.ts';

const CONNECTIONS = 32;
const HOUR_MS = 3_600_000;

/**
 * Each client is its own pair of ours and floor: what the client costs is in both, so a dear one
 * hides the difference between them. `raw` is the strict one; `undici` is what a Node program uses.
 */
export const create: Scenario = {
  name: 'create',
  title: `POST /timers, ${CONNECTIONS} keep-alive connections / bare Fastify POST of the same body`,
  async run(bench) {
    await using belfry = await startBelfry();
    await using fastify = await startChild<BareFastifyHandlers>(
      new URL('../floors/bareFastify.ts', import.meta.url),
    );
    const floorPort = await fastify.call('listen');
    const floorMetered = { belfry: { kind: 'process', pid: fastify.pid } as const };
    const durationMs = bench.size(6_000, 1_000);

    for (const client of ['raw', 'undici'] as const) {
      const ours = () => createFor(bench, { ...belfry, client, durationMs });
      const floor = () =>
        createFor(bench, { port: floorPort, metered: floorMetered, client, durationMs });
      await ours();
      await floor();
      for (const run of bench.runs) {
        const [service, bare] = await alternate(run, ours, floor);
        const bars = [{ of: 'ratio', atLeast: 0.8 }] as const;
        const pair = (name: string, of: (created: Created) => number) =>
          ({ name: `${client}: ${name}`, ours: of(service), floor: of(bare) }) as const;
        bench.record({ ...pair('timers', (made) => made.perSecond), unit: '/s', bars });
        bench.record({ ...pair('latency p50', (made) => made.latency.p50), unit: 'ms' });
        bench.record({ ...pair('latency p99', (made) => made.latency.p99), unit: 'ms' });
        recordCpu(bench, `${client}: `, service.cpu, bare.cpu);
      }
    }
  },
};

/** Closed loop for a time, with the CPU that every process took. */
export async function createFor(
  bench: Bench,
  target: {
    port: number;
    metered: Readonly<Record<string, Metered>>;
    client: Client;
    durationMs: number;
  },
): Promise<Created & { cpu: Record<string, number> }> {
  const { port, metered, client, durationMs } = target;
  const read = startMeter({ ...metered, driver: { kind: 'process', pid: bench.driver.pid } });
  const created = await bench.driver.call('create', {
    port,
    sinkPort: bench.sinkPort,
    client,
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
