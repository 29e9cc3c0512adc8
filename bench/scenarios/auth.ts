import { alternate, type Scenario } from '../harness/bench.ts';
import { startBelfry } from '../belfry.ts';
import { clear, giveToken } from '../store.ts';
import { createFor } from './create.ts';

/** Pairs in each run: what is looked for is less than the noise of one. */
const PAIRS = 4;

export const auth: Scenario = {
  name: 'auth',
  title: 'POST /timers with a token / the same where nobody is asked for one',
  async run(bench) {
    await using asking = await startBelfry({ AUTH: 'on' });
    await using open = await startBelfry({ AUTH: 'off' });
    const token = await giveToken(asking);
    const durationMs = bench.size(3_000, 500);
    const client = 'raw' as const;
    const ours = async () => {
      await clear(asking);
      return createFor(bench, {
        port: asking.port,
        metered: asking.metered,
        client,
        token,
        durationMs,
      });
    };
    const floor = async () => {
      await clear(open);
      return createFor(bench, { port: open.port, metered: open.metered, client, durationMs });
    };
    await ours();
    await floor();
    for (const run of bench.runs) {
      for (let pair = 0; pair < PAIRS; pair++) {
        const [shown, notAsked] = await alternate(run + pair, ours, floor);
        bench.record({
          name: 'timers',
          unit: '/s',
          ours: shown.perSecond,
          floor: notAsked.perSecond,
        });
        bench.record({
          name: 'CPU of a create, Belfry',
          unit: 'µs',
          ours: shown.cpu['belfry'] ?? NaN,
          floor: notAsked.cpu['belfry'] ?? NaN,
          bars: [{ of: 'ratio', atMost: 1.08 }],
        });
      }
    }
  },
};
