declare const timerIdBrand: unique symbol;

/** A timer's number: 1, 2, 3, … below 2^53, the high bits reserved for the shard. */
export type TimerId = number & { readonly [timerIdBrand]: true };

/** Reads the id out of a path segment; anything but a plain decimal number in range is undefined. */
export function parseTimerId(text: string): TimerId | undefined {
  if (!/^[1-9]\d{0,15}$/.test(text)) return undefined;
  const id = Number(text);
  return isTimerId(id) ? id : undefined;
}

/**
 * Takes a `bigint` column as the driver hands it over.
 * @throws Error when it is not a whole number from 1 to 2^53 − 1.
 */
export function timerIdFromDatabase(value: number): TimerId {
  if (!isTimerId(value)) throw new Error(`not a timer's id: ${String(value)}`);
  return value;
}

function isTimerId(value: number): value is TimerId {
  return Number.isSafeInteger(value) && value > 0;
}
