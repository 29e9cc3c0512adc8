import { statusClasses, type RetryPolicy } from './retryPolicy.ts';
import type { TimerHeaders } from './secretHeaders.ts';
import { httpMethods, type TimerRequest } from './timer.ts';

/** What of a stored timer is looked at. Its types are what the API writes, not what may stand there. */
export interface StoredParts {
  readonly nextAtMs: number | null;
  readonly method: string;
  readonly timeoutMs: number | null;
  readonly headers: TimerHeaders | null;
  readonly retry: RetryPolicy | null;
}

const methods: ReadonlySet<string> = new Set(httpMethods);

/**
 * What of a timer is not as the API writes it, in a few words; undefined for most. Others may have written
 * to the database, or it may have been restored wrongly. Of secrets it says nothing.
 */
export function storedDefect(parts: StoredParts): string | undefined {
  const { nextAtMs, method, timeoutMs, headers, retry } = parts;
  if (nextAtMs === null) return 'next_attempt_at is infinite';
  if (!methods.has(method)) return `method is none of ${httpMethods.join(', ')}`;
  if (timeoutMs !== null && !(timeoutMs >= 1)) return 'timeout is not positive';
  if (headers !== null && !areHeaders(headers)) return 'headers are not names with texts';
  if (retry !== null && !isPolicy(retry)) return 'retry is not a retry policy';
  return undefined;
}

type ShownParts = Pick<TimerRequest, 'method' | 'timeoutMs' | 'headers'> &
  Pick<StoredParts, 'retry'>;

/** In place of what is not as the API writes it, none at all. */
export const withoutDefect: ShownParts = {
  method: 'POST',
  timeoutMs: null,
  headers: null,
  retry: null,
};

/** What can be shown of a stored timer, all of it as a rule, and else what is wrong with it. */
export function shownParts(parts: ShownParts): ShownParts & { readonly defect?: string } {
  const defect = storedDefect({ ...parts, nextAtMs: 0 });
  return defect === undefined ? parts : { ...withoutDefect, defect };
}

function areHeaders(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every(
    (header: unknown) =>
      typeof header === 'string' ||
      (Array.isArray(header)
        ? header.every((single) => typeof single === 'string')
        : typeof header === 'object' &&
          header !== null &&
          'sealed' in header &&
          typeof header.sealed === 'string'),
  );
}

function isPolicy(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { attemptsMax, baseMs, factor, capMs, jitter, ageMaxMs, on } =
    value as Partial<RetryPolicy>;
  const numbers: unknown[] = [attemptsMax, baseMs, factor, capMs, jitter];
  return (
    numbers.every(
      (number) => typeof number === 'number' && Number.isFinite(number) && number >= 0,
    ) &&
    (ageMaxMs === null || typeof ageMaxMs === 'number') &&
    (on === undefined || (Array.isArray(on) && on.every(isStatus)))
  );
}

function isStatus(value: unknown): boolean {
  return Number.isInteger(value) || statusClasses.some((name) => name === value);
}
