import type { AfterDelay, AtInstant } from '../../packages/client/src/index.ts';
import { UsageError, type Given, type Option } from './command.ts';

export const whenOptions: readonly Option[] = [
  {
    name: 'in',
    takes: 'span',
    about: 'due so long from now: 500ms, 5s, 1h30m, 2d, PT5M, or seconds',
  },
  { name: 'at', takes: 'instant', about: 'due then: RFC 3339 with an offset' },
];

/** The one way in which options say when; undefined for none. */
export function whenOf(given: Given): AfterDelay | AtInstant | undefined {
  const [span, instant] = [given.text('in'), given.text('at')];
  if (span !== undefined && instant !== undefined) {
    throw new UsageError('--in and --at cannot be combined');
  }
  if (span !== undefined) return { delay: spanOf('in', span) };
  return instant === undefined ? undefined : { due_at: instant };
}

const unitSeconds: Readonly<Record<string, number>> = {
  ms: 0.001,
  s: 1,
  m: 60,
  h: 3_600,
  d: 86_400,
};

/** Seconds; ISO 8601 durations are left to the service, as text. */
export function spanOf(name: string, text: string): number | string {
  if (/^P/i.test(text)) return text;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text)) {
    throw new UsageError(
      `--${name} got "${text}"; it takes a span such as 500ms, 5s, 1h30m or PT5M`,
    );
  }
  let seconds = 0;
  for (const [, amount = '', unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    seconds += Number(amount) * (unitSeconds[unit] ?? 0);
  }
  return Math.round(seconds * 1_000) / 1_000;
}

/** "in 4 s", "3 min ago". */
export function relative(ms: number): string {
  const absolute = Math.abs(ms);
  const steps = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
  ] as const;
  const step = steps.find(([unitMs]) => absolute >= 2 * unitMs);
  let text =
    absolute < 10_000
      ? `${Math.round(absolute / 100) / 10} s`
      : `${Math.round(absolute / 1_000)} s`;
  if (step !== undefined) text = `${Math.round(absolute / step[0])} ${step[1]}`;
  return ms >= 0 ? `in ${text}` : `${text} ago`;
}

/** An instant by the clock and calendar of this machine: `2030-01-31 12:00:00`. */
export function localTime(instant: string): string {
  const date = new Date(instant);
  const two = (number: number) => String(number).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Both, or `-` for none. */
export function shownInstant(instant: string | null, nowMs: number): string {
  if (instant === null) return '-';
  return `${localTime(instant)} (${relative(Date.parse(instant) - nowMs)})`;
}
