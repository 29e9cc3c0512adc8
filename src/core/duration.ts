const isoDuration =
  /^P(?:(\d+(?:[.,]\d+)?)W)?(?:(\d+(?:[.,]\d+)?)D)?(?:T(?:(\d+(?:[.,]\d+)?)H)?(?:(\d+(?:[.,]\d+)?)M)?(?:(\d+(?:[.,]\d+)?)S)?)?$/i;

const unitMs = [7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000];

/**
 * Parses an ISO 8601 duration into milliseconds, rounded up to a whole one so that nothing is ever
 * due early. Weeks, days, hours, minutes and seconds, each with an optional fraction. Years and
 * months are not taken: their length depends on where one starts to count.
 * Returns undefined when the text is not such a duration.
 */
export function parseIsoDurationMs(text: string): number | undefined {
  if (text.length > 64) return undefined;
  const match = isoDuration.exec(text);
  if (match === null || /[PT]$/i.test(text)) return undefined;
  let ms = 0;
  for (const [index, unit] of unitMs.entries()) {
    const amount = match[index + 1];
    if (amount !== undefined) ms += Number(amount.replace(',', '.')) * unit;
  }
  return wholeMs(ms);
}

/** Seconds to whole milliseconds, rounded up; binary noise below a nanosecond does not count. */
export function secondsToMs(seconds: number): number {
  return wholeMs(seconds * 1_000);
}

function wholeMs(ms: number): number {
  const nearest = Math.round(ms);
  return Math.abs(ms - nearest) < 1e-6 ? nearest : Math.ceil(ms);
}
