import { invalidField } from './errors.ts';

/**
 * The JSON text of a value that was parsed from JSON. With `sorted`, members stand in the order of
 * their names, so that two requests that say the same are the same text.
 * @throws BelfryError `validation_failed` when it is nested more deeply than the stack allows: parsing
 *   has no such bound, writing has.
 */
export function jsonText(field: string, value: unknown, options?: { sorted: boolean }): string {
  try {
    return JSON.stringify(value, options?.sorted === true ? inOrder : undefined);
  } catch (err) {
    if (err instanceof RangeError) throw invalidField(field, 'is nested too deeply');
    throw err;
  }
}

function inOrder(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
