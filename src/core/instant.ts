import { secondsToMs } from './duration.ts';
import { invalidField } from './errors.ts';

const dayMs = 86_400_000;
/** The first millisecond of the year 0, before which RFC 3339 has no instants. */
const instantMinMs = -62_167_219_200_000;
/** The last millisecond of the year 9999, behind which it has none. */
export const instantMaxMs = 253_402_300_799_999;
const twoDigits = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));

let lastDay = Number.NaN;
let lastDate = '';

/**
 * Milliseconds of the Unix epoch as RFC 3339 text in UTC, to the millisecond; as `toISOString`, which
 * works the calendar out anew every time (a tenth of the time here, and every answer holds three). What
 * lies outside the years 0 to 9999, which is all that RFC 3339 has, is told as the end of them.
 * @throws RangeError for what is no number.
 */
export function instantText(ms: number): string {
  const whole = Math.trunc(Math.min(Math.max(ms, instantMinMs), instantMaxMs));
  const day = Math.floor(whole / dayMs);
  if (day !== lastDay) {
    lastDate = new Date(day * dayMs).toISOString().slice(0, -'00:00:00.000Z'.length);
    lastDay = day;
  }
  const inDayMs = whole - day * dayMs;
  const second = Math.floor(inDayMs / 1_000);
  const minute = Math.floor(second / 60);
  const hour = Math.floor(minute / 60);
  const time = `${twoDigits[hour]}:${twoDigits[minute % 60]}:${twoDigits[second % 60]}`;
  return `${lastDate}${time}.${String(inDayMs % 1_000).padStart(3, '0')}Z`;
}

const rfc3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})$/;

/**
 * Reads an RFC 3339 timestamp into milliseconds of the Unix epoch. Digits finer than a millisecond
 * round up: never early.
 * @throws BelfryError `validation_failed` that names the field.
 */
export function parseInstant(field: string, value: unknown): number {
  const takes =
    'must be an RFC 3339 timestamp with an offset, such as "2030-01-31T12:00:00.250Z" or "2030-01-31T12:00:00+02:00"';
  const match = typeof value === 'string' && value.length <= 64 ? rfc3339.exec(value) : null;
  if (match === null) throw invalidField(field, takes);
  const [, day = '', time = '', fraction = '', offset = ''] = match;
  const wholeSecondMs = Date.parse(`${day}T${time}${offset.toUpperCase()}`);
  if (Number.isNaN(wholeSecondMs) || !isCalendarDay(day) || time.startsWith('24')) {
    throw invalidField(field, takes);
  }
  return wholeSecondMs + (fraction === '' ? 0 : secondsToMs(Number(`0.${fraction}`)));
}

function isCalendarDay(day: string): boolean {
  // Every month has these (and `Date.parse` has refused a 00).
  if (day.slice(-2) <= '28') return true;
  const midnight = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day);
}
