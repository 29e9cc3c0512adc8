import type { FastifyReply } from 'fastify';
import { BelfryError } from '../core/errors.ts';
import { perSecond, type ProjectLimits, type Rate } from '../core/limits.ts';
import type { RequestRate } from '../core/principal.ts';

/** Shared by all processes; see limits/allowances. */
export interface RateKeeper {
  /** One of each, or of none where one has none left. */
  take(rates: readonly RequestRate[]): boolean | Promise<boolean>;
  remaining(rate: RequestRate): { readonly count: number; readonly nextInMs: number };
}

/** Rates as a principal has them; undefined for none. */
export function ratesOf(of: {
  readonly projectId: number;
  readonly limits: ProjectLimits | null;
  readonly tokenId: string;
  readonly rate: Rate | null;
}): readonly RequestRate[] | undefined {
  const { projectId, limits, tokenId, rate } = of;
  const rates: RequestRate[] = [];
  const add = (name: RequestRate['name'], id: string | number, given: Rate | null | undefined) => {
    if (given === null || given === undefined) return;
    const { burst } = given;
    rates.push({ name, subject: `${name}:${id}`, perSecond: perSecond(given), burst, rate: given });
  };
  add('project', projectId, limits?.rate);
  add('token', tokenId, rate);
  return rates.length === 0 ? undefined : rates;
}

/**
 * The fields of draft-ietf-httpapi-ratelimit-headers-11, lists of RFC 9651, an item a policy. `q` is
 * what the bucket holds and `w` how long it takes to fill; `r` is what is in it, and `t` until it is
 * full, or, when there is nothing, until there is something (which is what Retry-After says).
 */
export function showRates(
  reply: FastifyReply,
  keeper: RateKeeper,
  rates: readonly RequestRate[],
): void {
  let state = '';
  for (const rate of rates) {
    const { count, nextInMs } = keeper.remaining(rate);
    const fullInMs = ((rate.burst - count) / rate.perSecond) * 1_000;
    const seconds = wholeSeconds(count === 0 ? nextInMs : fullInMs);
    state += `${state === '' ? '' : ', '}"${rate.name}";r=${count};t=${seconds}`;
  }
  reply.header('ratelimit-policy', policyOf(rates)).header('ratelimit', state);
}

const policies = new WeakMap<readonly RequestRate[], string>();

function policyOf(rates: readonly RequestRate[]): string {
  let policy = policies.get(rates);
  if (policy === undefined) {
    policy = rates
      .map(({ name, burst, perSecond: rate }) => {
        return `"${name}";q=${burst};w=${wholeSeconds((burst / rate) * 1_000)}`;
      })
      .join(', ');
    policies.set(rates, policy);
  }
  return policy;
}

/** The error of a caller that has none left. */
export function rateExceeded(keeper: RateKeeper, rates: readonly RequestRate[]): BelfryError {
  const waits = rates.map((rate) => ({ name: rate.name, ...keeper.remaining(rate) }));
  const { name, nextInMs } = waits.reduce((a, b) => (b.nextInMs > a.nextInMs ? b : a));
  const seconds = wholeSeconds(nextInMs);
  return new BelfryError(
    'rate_limited',
    `too many requests of this ${name}: try again in ${seconds} s`,
    { retryAfterSeconds: seconds },
  );
}

function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1_000));
}
