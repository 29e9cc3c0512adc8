/** Where the calendar of JavaScript ends, 275,000 years away. */
const dateMaxMs = 8.64e15;

/**
 * An instant as a parameter: `timestamptz` text. PostgreSQL does not take the years of ISO 8601 before 1 and
 * after 9999 (`-000099`, `+010000`): it has `0100 BC` and `10000`.
 */
export function instantParameter(ms: number): string {
  if (Math.abs(ms) > dateMaxMs) return ms < 0 ? '-infinity' : 'infinity';
  const date = new Date(ms);
  const year = date.getUTCFullYear();
  const text = date.toISOString();
  if (year >= 1 && year <= 9_999) return text;
  const [spelt, era] = year < 1 ? [1 - year, ' BC'] : [year, ''];
  return `${String(spelt).padStart(4, '0')}${text.slice(text.indexOf('-', 1))}${era}`;
}
