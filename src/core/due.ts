import { parseIsoDurationMs, secondsToMs } from './duration.ts';
import { invalidField } from './errors.ts';
import { parseInstant } from './instant.ts';

/** When a timer is due: so long after its commit, or at an instant (Unix epoch). */
export type Due =
  | { readonly kind: 'after'; readonly delayMs: number }
  | { readonly kind: 'at'; readonly dueAtMs: number };

/** What a create request says about time. Undefined means that the field was not given. */
export interface DueFields {
  readonly hours?: unknown;
  readonly minutes?: unknown;
  readonly seconds?: unknown;
  readonly delay?: unknown;
  readonly due_at?: unknown;
}

/** Nothing is due later than this from now: 100 years of 365.25 days. */
export const horizonMs = 100 * 365.25 * 86_400_000;

const clockFields = ['hours', 'minutes', 'seconds'] as const;
const clockFieldMs = { hours: 3_600_000, minutes: 60_000, seconds: 1_000 };

/** Whether a request says when at all. */
export function saysWhen(fields: DueFields): boolean {
  const { delay, due_at } = fields;
  return (
    delay !== undefined ||
    due_at !== undefined ||
    clockFields.some((name) => fields[name] !== undefined)
  );
}

/**
 * Reads the one way in which a request says when. None given means now.
 * @throws BelfryError `validation_failed`, naming the field and what it takes.
 */
export function parseDue(fields: DueFields, nowMs: number): Due {
  const ways = [
    clockFields.find((field) => fields[field] !== undefined),
    fields.delay === undefined ? undefined : 'delay',
    fields.due_at === undefined ? undefined : 'due_at',
  ].filter((way) => way !== undefined);
  const [way, other] = ways;
  if (other !== undefined) {
    throw invalidField(other, `cannot be combined with ${way}: give one way of saying when`);
  }
  if (way === 'due_at') return parseDueAt(fields.due_at, nowMs);
  if (way === 'delay') return { kind: 'after', delayMs: parseSpan('delay', fields.delay) };
  let delayMs = 0;
  for (const field of clockFields) {
    const value = fields[field];
    if (value !== undefined) delayMs += castClockField(field, value) * clockFieldMs[field];
  }
  if (delayMs > horizonMs) throw invalidField(way ?? 'seconds', 'must be at most 100 years ahead');
  return { kind: 'after', delayMs };
}

/**
 * Casts `hours`, `minutes` or `seconds` the permissive way of the service that this one replaces:
 * numbers are truncated toward zero, strings of a whole number are taken.
 */
export function castClockField(field: string, value: unknown): number {
  const takes = 'must be a whole number of 0 or more (a number, or a string of digits)';
  let number: number;
  if (typeof value === 'number') number = Math.trunc(value);
  else if (typeof value === 'string' && /^\s*[+-]?\d+\s*$/.test(value)) number = Number(value);
  else throw invalidField(field, takes);
  if (!Number.isFinite(number) || number < 0) throw invalidField(field, takes);
  return number === 0 ? 0 : number;
}

/** A span of time: seconds as a number (fractions kept) or an ISO 8601 duration. Milliseconds. */
export function parseSpan(field: string, value: unknown): number {
  const takes =
    'must be seconds as a number of 0 or more, or an ISO 8601 duration such as "PT1.5S" or "P30D"';
  let ms: number | undefined;
  // Below zero is refused as it is given: rounding up would make -0.0005 a 0.
  if (typeof value === 'number') ms = value < 0 ? undefined : secondsToMs(value);
  else if (typeof value === 'string') ms = parseIsoDurationMs(value);
  if (ms === undefined || !Number.isFinite(ms) || ms < 0) throw invalidField(field, takes);
  if (ms > horizonMs) throw invalidField(field, 'must be at most 100 years');
  return ms === 0 ? 0 : ms;
}

function parseDueAt(value: unknown, nowMs: number): Due {
  const dueAtMs = parseInstant('due_at', value);
  if (dueAtMs - nowMs > horizonMs) {
    throw invalidField('due_at', 'must be at most 100 years ahead');
  }
  return { kind: 'at', dueAtMs };
}
