import { alternate, type Scenario } from '../harness/bench.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import { clear, giveToken } from '../store.ts';
import { createFor } from './create.ts';

/** Pairs in each run: what is looked for is less than the noise of one. */
const PAIRS = 4;
/** High enough never to be met: what is measured is the keeping of them. */
const RATE = { requests: 1_000_000, burst: 1_000_000 };
const LIMITS = {
  rate: RATE,
  live_timers: 1_000_000_000,
  creates_per_day: 1_000_000_000,
  body_bytes: 1_000_000,
  horizon: 'P365D',
  attempts: 100,
};

export const limits: Scenario = {
  name: 'limits',
  title: 'POST /timers with a token, rates and all quotas / the same where nobody is asked',
  async run(bench) {
    await using asking = await startBelfry({ AUTH: 'on' });
    await using open = await startBelfry({ AUTH: 'off' });
    const operator = await giveToken(asking);
    const limited = await limitedToken(asking, operator);
    const durationMs = bench.size(3_000, 500);
    const client = 'raw' as const;
    const withToken = (token: string) => async () => {
      await clear(asking);
      const { port, metered } = asking;
      return createFor(bench, { port, metered, client, token, durationMs });
    };
    const floor = async () => {
      await clear(open);
      return createFor(bench, { port: open.port, metered: open.metered, client, durationMs });
    };
    const [ours, tokenOnly] = [withToken(limited), withToken(operator)];
    for (const warmUp of [ours, tokenOnly, floor]) await warmUp();
    for (const run of bench.runs) {
      for (let pair = 0; pair < PAIRS; pair++) {
        const [[bound, notAsked], asked] = await alternate(
          run + pair,
          () => alternate(run + pair, ours, floor),
          tokenOnly,
        );
        bench.record({
          name: 'timers',
          unit: '/s',
          ours: bound.perSecond,
          floor: notAsked.perSecond,
        });
        const cpu = (made: typeof bound) => made.cpu['belfry'] ?? NaN;
        const measure = { unit: 'µs', ours: cpu(bound) } as const;
        bench.record({
          ...measure,
          name: 'CPU of a create, Belfry',
          floor: cpu(notAsked),
          bars: [{ of: 'ratio', atMost: 1.08 }],
        });
        bench.record({
          ...measure,
          name: 'CPU of a create, Belfry / with a token alone',
          floor: cpu(asked),
        });
        bench.record({
          name: 'CPU of a create, PostgreSQL',
          unit: 'µs',
          ours: bound.cpu['postgres'] ?? NaN,
          floor: notAsked.cpu['postgres'] ?? NaN,
        });
      }
    }
  },
};

/** Of a project with everything that can be set. */
async function limitedToken(belfry: Belfry, operator: string): Promise<string> {
  const ask = async (method: string, path: string, body: unknown) => {
    const answer = await fetch(`http://127.0.0.1:${belfry.port}${path}`, {
      method,
      headers: { authorization: `Bearer ${operator}` },
      body: JSON.stringify(body),
    });
    const told = (await answer.json()) as Record<string, unknown>;
    if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(told)}`);
    return told;
  };
  const { id: project } = await ask('POST', '/projects', { name: 'limited' });
  await ask('PATCH', `/projects/${String(project)}/limits`, LIMITS);
  const wish = { name: 'limited', scopes: ['timers:write'], project, rate: RATE };
  const { token } = await ask('POST', '/tokens', wish);
  return String(token);
}
