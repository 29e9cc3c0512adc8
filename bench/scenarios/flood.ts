import { alternate, type Scenario } from '../harness/bench.ts';
import { startChild } from '../harness/child.ts';
import { startBelfry } from '../belfry.ts';
import type { DriverHandlers } from '../driver.ts';
import { clear, giveToken } from '../store.ts';

const HOUR_MS = 3_600_000;
const TRYING_AT_ONCE = 64;
const PER_SECOND = 200;
const WRONG = `bel_0123456789abcdef_${'A'.repeat(43)}`;

/**
 * Somebody tries wrong tokens from one address while another caller creates, from another address and
 * through a driver of its own. Only creates that were sent while it went on are of interest, so they go
 * on for about as long.
 */
export const flood: Scenario = {
  name: 'flood',
  title: `${PER_SECOND} creates/s, ${TRYING_AT_ONCE} connections that try wrong tokens meanwhile / none`,
  async run(bench) {
    await using belfry = await startBelfry({ AUTH: 'on' });
    await using attacker = await startChild<DriverHandlers>(
      new URL('../driver.ts', import.meta.url),
    );
    const token = await giveToken(belfry);
    const { port } = belfry;
    const shared = { port, sinkPort: bench.sinkPort, client: 'raw' } as const;
    const due = { kind: 'ahead', fromMs: HOUR_MS, toMs: 2 * HOUR_MS } as const;
    const durationMs = bench.size(8_000, 2_000);
    const calm = async () => {
      await clear(belfry);
      return bench.driver.call('create', {
        ...shared,
        token,
        due,
        localAddress: '127.0.0.2',
        connections: 32,
        pace: { kind: 'open', perSecond: PER_SECOND, durationMs },
      });
    };
    const flooded = async () => {
      const [made, tried] = await Promise.all([
        calm(),
        attacker.call('create', {
          ...shared,
          token: WRONG,
          due,
          connections: TRYING_AT_ONCE,
          pace: { kind: 'closedFor', durationMs },
        }),
      ]);
      const { '401': wrong = 0, '429': told = 0 } = tried.refused;
      if (tried.created > 0) throw new Error(JSON.stringify(tried));
      return { ...made, tries: wrong + told };
    };
    await calm();
    await flooded();
    for (const run of bench.runs) {
      const [under, without] = await alternate(run, flooded, calm);
      for (const made of [under, without]) {
        if (Object.keys(made.refused).length > 0) throw new Error(JSON.stringify(made.refused));
      }
      for (const quantile of ['p50', 'p99'] as const) {
        bench.record({
          name: `latency of a create, ${quantile}`,
          unit: 'ms',
          ours: under.latency[quantile],
          floor: without.latency[quantile],
          ...(quantile === 'p99' ? { bars: [{ of: 'ratio', atMost: 2 }] } : {}),
        });
      }
      bench.record({ name: 'tries', unit: '', ours: under.tries });
    }
  },
};
