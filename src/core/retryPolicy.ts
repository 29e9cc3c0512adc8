import { horizonMs, parseSpan } from './due.ts';
import { invalidField } from './errors.ts';

/** How failed attempts are repeated. Durations in milliseconds. */
export interface RetryPolicy {
  /** Attempts in all, the first included; 1 means never again. */
  readonly attemptsMax: number;
  /** Wait after the first failure. */
  readonly baseMs: number;
  /** Each further wait is this many times the one before. */
  readonly factor: number;
  /** No wait is longer than this (before jitter). */
  readonly capMs: number;
  /** Share by which a wait is moved at random, both ways: 0.2 is ±20 %. */
  readonly jitter: number;
  /** No attempt is made later than this after the timer was due; null for no such bound. */
  readonly ageMaxMs: number | null;
  /** Of the responses, these alone are tried again; left out for all. */
  readonly on?: readonly RetriedStatus[];
}

/** A status, or all from 300 to 399 and so on. */
export type RetriedStatus = number | (typeof statusClasses)[number];
export const statusClasses = ['3xx', '4xx', '5xx'] as const;
export const retriedMax = 50;

const fields = ['max_attempts', 'base', 'factor', 'cap', 'jitter', 'max_age', 'on'] as const;

/**
 * Reads the `retry` of a create request; what it leaves out is as the service has it. Null when it is
 * not given. `base`, `cap` and `max_age` are seconds or ISO 8601 durations.
 * @throws BelfryError `validation_failed` that names `retry` or `retry.<field>`.
 */
export function parseRetryPolicy(value: unknown, defaults: RetryPolicy): RetryPolicy | null {
  if (value === undefined) return null;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField('retry', `must be an object of ${fields.join(', ')}`);
  }
  const given = new Map<string, unknown>(Object.entries(value));
  for (const name of given.keys()) {
    if (!fields.some((field) => field === name)) {
      throw invalidField(`retry.${name.slice(0, 80)}`, `is not one of ${fields.join(', ')}`);
    }
  }
  const read = <Value>(name: (typeof fields)[number], fallback: Value, parse: Parse<Value>) =>
    given.has(name) ? parse(`retry.${name}`, given.get(name)) : fallback;
  const on = given.has('on') ? retriedStatuses(given.get('on')) : defaults.on;
  return {
    ...(on === undefined ? {} : { on }),
    attemptsMax: read('max_attempts', defaults.attemptsMax, number(1, 100, true)),
    baseMs: read('base', defaults.baseMs, span(1, day)),
    factor: read('factor', defaults.factor, number(1, 100)),
    capMs: read('cap', defaults.capMs, span(1, 365 * day)),
    jitter: read('jitter', defaults.jitter, number(0, 1)),
    ageMaxMs: read<number | null>('max_age', defaults.ageMaxMs, span(0, horizonMs)),
  };
}

function retriedStatuses(value: unknown): readonly RetriedStatus[] {
  const takes = `must be a list of at most ${retriedMax} statuses from 300 to 599, or ${statusClasses.map((name) => `"${name}"`).join(', ')}`;
  if (!Array.isArray(value) || value.length > retriedMax) throw invalidField('retry.on', takes);
  return value.map((entry: unknown) => {
    const named = statusClasses.find((name) => name === entry);
    if (named !== undefined) return named;
    if (typeof entry === 'number' && Number.isInteger(entry) && entry >= 300 && entry <= 599) {
      return entry;
    }
    throw invalidField('retry.on', takes);
  });
}

/** Whether a response with this status leads to another attempt. */
export function isRetriedStatus({ on }: RetryPolicy, status: number): boolean {
  return (
    on === undefined || on.some((one) => one === status || one === `${Math.floor(status / 100)}xx`)
  );
}

type Parse<Value> = (field: string, value: unknown) => Value;
const day = 86_400_000;

function number(min: number, max: number, isWhole = false): Parse<number> {
  return (field, value) => {
    const isOne = typeof value === 'number' && value >= min && value <= max;
    if (!isOne || (isWhole && !Number.isInteger(value))) {
      throw invalidField(field, `must be a ${isWhole ? 'whole ' : ''}number from ${min} to ${max}`);
    }
    return value;
  };
}

function span(minMs: number, maxMs: number): Parse<number> {
  return (field, value) => {
    const ms = parseSpan(field, value);
    if (ms < minMs) throw invalidField(field, `must be at least ${minMs / 1_000} s`);
    if (ms > maxMs) throw invalidField(field, `must be at most ${maxMs / 1_000} s`);
    return ms;
  };
}

/**
 * The wait after the `failures`-th failure (1, 2, …), in whole milliseconds: exponential with a
 * cap, spread by jitter so that timers that failed together do not come back together.
 * `random` gives a number in [0, 1).
 */
export function retryDelayMs(policy: RetryPolicy, failures: number, random: () => number): number {
  const exponential = policy.baseMs * policy.factor ** (failures - 1);
  const capped = Math.min(exponential, policy.capMs);
  return Math.ceil(capped * (1 + policy.jitter * (2 * random() - 1)));
}
