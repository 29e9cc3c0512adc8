import { invalidField } from './errors.ts';

export const timerKeyLengthMax = 255;

/**
 * Checks the name of a push-back timer: 1 to 255 visible ASCII characters.
 * @throws BelfryError `validation_failed` that names `key`.
 */
export function parseTimerKey(text: string): string {
  if (!/^[\u0021-\u007e]+$/.test(text) || text.length > timerKeyLengthMax) {
    throw invalidField(
      'key',
      `must be 1 to ${timerKeyLengthMax} visible ASCII characters (in the path, URL-encoded)`,
    );
  }
  return text;
}
