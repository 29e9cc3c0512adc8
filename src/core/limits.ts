import { horizonMs, parseSpan } from './due.ts';
import { BelfryError, invalidField } from './errors.ts';

/** So many requests in so long a time, on average; as many as `burst` at once. A token bucket. */
export interface Rate {
  readonly requests: number;
  readonly perMs: number;
  readonly burst: number;
}

/** What a project may have and ask for at most. What is not there is not bounded. */
export interface Quotas {
  readonly liveTimers?: number;
  /** In a day of UTC, by the database's clock. */
  readonly createsPerDay?: number;
  readonly bodyBytes?: number;
  /** How far ahead a timer may be due. */
  readonly horizonMs?: number;
  /** How many attempts a timer may ask for. */
  readonly attempts?: number;
}

export type QuotaName = keyof Quotas;

/** What bounds a project. */
export interface ProjectLimits extends Quotas {
  readonly rate?: Rate;
}

/** The names of the outside contract, each with what is kept under which name. */
export const limitFields = {
  rate: 'rate',
  live_timers: 'liveTimers',
  creates_per_day: 'createsPerDay',
  body_bytes: 'bodyBytes',
  horizon: 'horizonMs',
  attempts: 'attempts',
} as const satisfies Record<string, keyof ProjectLimits>;

export type LimitField = keyof typeof limitFields;
export type LimitFields = { readonly [Field in LimitField]?: unknown };

/** What a change makes of limits: null takes one away, what is not there stays. */
export type LimitsPatch = { readonly [Name in keyof ProjectLimits]?: ProjectLimits[Name] | null };

export const countMax = 1_000_000_000_000;
export const rateBounds = { requestsMax: 1_000_000, burstMax: 1_000_000, perMsMax: 86_400_000 };
/** Processes take blocks of up to a quarter of a second's worth: a bucket holds two at least. */
const burstLeastMs = 500;

/** Requests that come back in a second. */
export function perSecond({ requests, perMs }: Rate): number {
  return (requests * 1_000) / perMs;
}

/**
 * Reads a change of the limits of a project.
 * @throws BelfryError `validation_failed` that names the field.
 */
export function parseLimitsPatch(fields: LimitFields): LimitsPatch {
  if (Object.keys(fields).length === 0) throw invalidField('body', 'must say what is to change');
  return {
    ...read('rate', fields.rate, parseRate),
    ...read('live_timers', fields.live_timers, whole(0, countMax)),
    ...read('creates_per_day', fields.creates_per_day, whole(0, countMax)),
    ...read('body_bytes', fields.body_bytes, whole(0, countMax)),
    ...read('horizon', fields.horizon, parseSpan),
    ...read('attempts', fields.attempts, whole(1, 100)),
  };
}

type Parse<Value> = (field: string, value: unknown) => Value;

function read<Value>(field: LimitField, value: unknown, parse: Parse<Value>) {
  if (value === undefined) return {};
  return { [limitFields[field]]: value === null ? null : parse(field, value) };
}

/**
 * Reads a rate: `requests`, in `per` (a span of 1 s to a day; 1 s by default), with a `burst` (as
 * many as `requests` by default).
 * @throws BelfryError `validation_failed` that names the field.
 */
export function parseRate(field: string, value: unknown): Rate {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField(field, 'must be an object of requests, per and burst, or null for none');
  }
  const given = new Map<string, unknown>(Object.entries(value));
  for (const name of given.keys()) {
    if (!['requests', 'per', 'burst'].includes(name)) {
      throw invalidField(`${field}.${name.slice(0, 80)}`, 'is not one of requests, per, burst');
    }
  }
  const { requestsMax, burstMax, perMsMax } = rateBounds;
  const requests = whole(1, requestsMax)(`${field}.requests`, given.get('requests'));
  const perMs = given.has('per') ? parseSpan(`${field}.per`, given.get('per')) : 1_000;
  if (perMs < 1_000 || perMs > perMsMax) {
    throw invalidField(`${field}.per`, `must be from 1 s to ${perMsMax / 1_000} s`);
  }
  const least = Math.ceil((requests * burstLeastMs) / perMs);
  const burst = given.has('burst')
    ? whole(least, burstMax)(`${field}.burst`, given.get('burst'))
    : requests;
  return { requests, perMs, burst };
}

function whole(min: number, max: number): Parse<number> {
  return (field, value) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
      return value;
    }
    throw invalidField(field, `must be a whole number from ${min} to ${max}`);
  };
}

/** The limits as they are after a change; null when none is left. */
export function patchedLimits(limits: ProjectLimits, patch: LimitsPatch): ProjectLimits | null {
  const entries = Object.entries({ ...limits, ...patch }).filter(([, value]) => value !== null);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- of the two, without what is null
  return entries.length === 0 ? null : (Object.fromEntries(entries) as ProjectLimits);
}

/** Whether any of these has to be held against what is there already. */
export function countsTimers({ liveTimers, createsPerDay }: Quotas): boolean {
  return liveTimers !== undefined || createsPerDay !== undefined;
}

const whatOf: Readonly<Record<QuotaName, { field: string; what: string; unit: string }>> = {
  liveTimers: { field: 'live_timers', what: 'live timers', unit: '' },
  createsPerDay: { field: 'creates_per_day', what: 'timers created today (UTC)', unit: '' },
  bodyBytes: { field: 'body_bytes', what: 'bytes of a body', unit: '' },
  horizonMs: { field: 'horizon', what: 'seconds ahead', unit: ' s' },
  attempts: { field: 'attempts', what: 'attempts of a timer (retry.max_attempts)', unit: '' },
};

/** A `quota_exceeded` error: `used` is what there is, or was asked for; as outside, spans in seconds. */
export function quotaExceeded(name: QuotaName, limit: number, used: number): BelfryError {
  const { field, what, unit } = whatOf[name];
  const [shownLimit, shownUsed] =
    name === 'horizonMs' ? [limit / 1_000, used / 1_000] : [limit, used];
  return new BelfryError(
    'quota_exceeded',
    `the project may have at most ${shownLimit} ${what}: ${shownUsed}${unit} here (quota ${field})`,
    { quota: { quota: field, limit: shownLimit, used: shownUsed } },
  );
}

/** No horizon of a project can be further than this. */
export const horizonMaxMs = horizonMs;
