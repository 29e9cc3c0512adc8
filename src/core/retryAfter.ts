/** Longer waits than this are not taken from a receiver. */
export const retryAfterMaxMs = 86_400_000;

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const clock = String.raw`(\d\d:\d\d:\d\d)`;
// RFC 9110 5.6.7: the form to be sent, and the two that have to be understood.
const imf = new RegExp(String.raw`^[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) ${clock} GMT$`);
const rfc850 = new RegExp(
  String.raw`^[A-Z][a-z]{5,8}, (\d\d)-([A-Z][a-z]{2})-(\d\d) ${clock} GMT$`,
);
const asctime = new RegExp(String.raw`^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) ${clock} (\d{4})$`);

/**
 * How long a receiver wants to be left alone: `Retry-After` (RFC 9110 10.2.3), whole seconds or a
 * date; from 0 to 24 h, more is cut off. Undefined for what is neither.
 */
export function retryAfterMs(text: string, nowMs: number): number | undefined {
  const trimmed = text.trim();
  if (/^\d+$/.test(trimmed)) return Math.min(Number(trimmed) * 1_000, retryAfterMaxMs);
  const atMs = httpDateMs(trimmed, nowMs);
  if (atMs === undefined) return undefined;
  return Math.ceil(Math.min(Math.max(0, atMs - nowMs), retryAfterMaxMs));
}

function httpDateMs(text: string, nowMs: number): number | undefined {
  const [, day = '', month = '', year = '', time = ''] =
    imf.exec(text) ?? rfc850.exec(text) ?? reordered(asctime.exec(text)) ?? [];
  const monthNumber = months.indexOf(month) + 1;
  if (monthNumber === 0) return undefined;
  const fullYear = year.length === 2 ? centuryOf(Number(year), nowMs) : year;
  const date = `${fullYear}-${String(monthNumber).padStart(2, '0')}-${day.trim().padStart(2, '0')}`;
  const ms = Date.parse(`${date}T${time}Z`);
  // 31 February would be read as a day of March.
  const isDay = !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date);
  return isDay ? ms : undefined;
}

function reordered(match: RegExpExecArray | null): string[] | null {
  if (match === null) return null;
  const [all = '', month = '', day = '', time = '', year = ''] = match;
  return [all, day, month, year, time];
}

/** Two digits are of the years from 49 before to 50 ahead. */
function centuryOf(twoDigits: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + twoDigits;
  if (year > thisYear + 50) return year - 100;
  return year <= thisYear - 50 ? year + 100 : year;
}
