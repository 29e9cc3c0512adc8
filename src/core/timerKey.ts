import { invalidField } from './errors.ts';

export const timerKeyLengthMax = 255;

/**
 * Checks the name of a push-back timer: 1 to 255 visible ASCII characters.
 * @throws BelfryError `validation_failed` that names `field`.
 */
export function parseTimerKey(value: unknown, field = 'key'): string {
  if (typeof value === 'string' && /^[\u0021-\u007e]+$/.test(value)) {
    if (value.length <= timerKeyLengthMax) return value;
  }
  throw invalidField(
    field,
    `must be one key of 1 to ${timerKeyLengthMax} visible ASCII characters (in a path or query, URL-encoded)`,
  );
}
