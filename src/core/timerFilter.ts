import { createHash } from 'node:crypto';
import { isLabel, labelLengthMax } from './annotations.ts';
import { invalidField } from './errors.ts';
import { parseHostFilter, type HostFilter } from './hostFilter.ts';
import { instantMaxMs, parseInstant } from './instant.ts';
import type { TimerStatus } from './timer.ts';
import { parseTimerKey } from './timerKey.ts';

/** Which timers are meant; null where nothing is said. Instants in milliseconds of the Unix epoch. */
export interface TimerFilter {
  /** In the order of `timerStatuses`, each once; null for all. */
  readonly statuses: readonly TimerStatus[] | null;
  readonly label: string | null;
  readonly host: HostFilter | null;
  readonly key: string | null;
  readonly urlPrefix: string | null;
  /** From here on … */
  readonly dueAfterMs: number | null;
  /** … and before this. */
  readonly dueBeforeMs: number | null;
  readonly createdAfterMs: number | null;
  readonly createdBeforeMs: number | null;
}

const filterFieldNames = [
  'status',
  'label',
  'host',
  'key',
  'url_prefix',
  'due_after',
  'due_before',
  'created_after',
  'created_before',
] as const;

/** What a request says about it, not looked at yet. */
export type FilterFields = { readonly [Name in (typeof filterFieldNames)[number]]?: unknown };

export function isFilterField(name: string): name is keyof FilterFields {
  return filterFieldNames.some((known) => known === name);
}

export const liveStatuses: readonly TimerStatus[] = ['pending', 'delivering', 'retrying'];
export const finishedStatuses: readonly TimerStatus[] = ['succeeded', 'failed', 'cancelled'];
const timerStatuses = [...liveStatuses, ...finishedStatuses];
const urlPrefixLengthMax = 8_192;

/**
 * Reads a filter. `fieldName` turns a name into what the caller knows it as.
 * @throws BelfryError `validation_failed` that names the field.
 */
export function parseTimerFilter(
  fields: FilterFields,
  fieldName: (name: keyof FilterFields) => string = (name) => name,
): TimerFilter {
  const instant = (name: keyof FilterFields) =>
    fields[name] === undefined ? null : parseFilterInstant(fieldName(name), fields[name]);
  return {
    statuses:
      fields.status === undefined ? null : parseStatuses(fieldName('status'), fields.status),
    label: fields.label === undefined ? null : parseLabel(fieldName('label'), fields.label),
    host: fields.host === undefined ? null : parseHostFilter(fieldName('host'), fields.host),
    key: fields.key === undefined ? null : parseTimerKey(fields.key, fieldName('key')),
    urlPrefix:
      fields.url_prefix === undefined
        ? null
        : parseUrlPrefix(fieldName('url_prefix'), fields.url_prefix),
    dueAfterMs: instant('due_after'),
    dueBeforeMs: instant('due_before'),
    createdAfterMs: instant('created_after'),
    createdBeforeMs: instant('created_before'),
  };
}

/** Whether it says anything at all. */
export function isEmptyFilter(filter: TimerFilter): boolean {
  return Object.values(filter).every((value) => value === null);
}

/** Tells filters apart: what a cursor or a token belongs to, together with `of`. */
export function fingerprintOf(filter: TimerFilter, of: readonly (string | number)[]): string {
  const text = JSON.stringify([
    of,
    Object.entries(filter).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ]);
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}

/** One or several words, several times or with commas between. */
function parseStatuses(field: string, value: unknown): readonly TimerStatus[] {
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  const words = given.flatMap((item) => (typeof item === 'string' ? item.split(',') : [item]));
  const meant = new Set<TimerStatus>();
  for (const word of words) {
    for (const status of statusesOf(word)) meant.add(status);
  }
  const isKnown = words.length <= 32 && words.every((word) => statusesOf(word).length > 0);
  if (!isKnown || meant.size === 0) {
    throw invalidField(field, `must be of ${timerStatuses.join(', ')}, live, finished`);
  }
  return timerStatuses.filter((status) => meant.has(status));
}

function statusesOf(word: unknown): readonly TimerStatus[] {
  if (word === 'live') return liveStatuses;
  if (word === 'finished') return finishedStatuses;
  return timerStatuses.filter((status) => status === word);
}

function parseLabel(field: string, value: unknown): string {
  if (typeof value === 'string' && isLabel(value)) return value;
  throw invalidField(
    field,
    `must be one label: 1 to ${labelLengthMax} characters, without controls`,
  );
}

function parseUrlPrefix(field: string, value: unknown): string {
  if (typeof value === 'string' && value.length <= urlPrefixLengthMax && value.isWellFormed()) {
    // eslint-disable-next-line no-control-regex
    if (value !== '' && !/[\u0000-\u0020\u007f]/.test(value)) return value;
  }
  throw invalidField(field, 'must be the beginning of a url, as it was given');
}

/** What lies before 1970 is before all timers, and what a rounding takes into 10000 behind them. */
function parseFilterInstant(field: string, value: unknown): number {
  // A "+" that nobody has encoded arrives from a query string as a blank.
  const text = typeof value === 'string' ? value.replace(/ (?=\d\d:\d\d$)/, '+') : value;
  return Math.min(Math.max(0, parseInstant(field, text)), instantMaxMs);
}
