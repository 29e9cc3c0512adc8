import { invalidField } from './errors.ts';
import { instantMaxMs } from './instant.ts';

export type ListOrder = 'newest' | 'soonest';

/**
 * How far a list has come: everything before this place has been looked at.
 *
 * - `newest`: goes down from below `beforeId`, not below `fromId`.
 * - `soonest`: goes up from behind the timer `id` due at `nextAtMs`.
 */
export type ListPosition =
  | { readonly order: 'newest'; readonly beforeId: number; readonly fromId: number }
  | { readonly order: 'soonest'; readonly nextAtMs: number; readonly id: number };

const version = 1;

/** The cursor as the caller gets it. It holds nothing secret and is worth no more than its filter. */
export function cursorText(position: ListPosition, fingerprint: string): string {
  const place =
    position.order === 'newest'
      ? [position.beforeId, position.fromId]
      : [position.nextAtMs, position.id];
  return Buffer.from(JSON.stringify([version, position.order, fingerprint, ...place])).toString(
    'base64url',
  );
}

/**
 * Reads a cursor that was given out for this order and filter.
 * @throws BelfryError `validation_failed` that names `cursor`.
 */
export function parseCursor(text: unknown, order: ListOrder, fingerprint: string): ListPosition {
  const parts = typeof text === 'string' && text.length <= 300 ? partsOf(text) : undefined;
  if (parts === undefined)
    throw invalidField('cursor', 'must be one that a list has given as next');
  const [, itsOrder, itsFingerprint, first, second] = parts;
  if (itsOrder !== order || itsFingerprint !== fingerprint) {
    throw invalidField('cursor', 'belongs to a list with other filters or another order');
  }
  return order === 'newest'
    ? { order, beforeId: first, fromId: second }
    : { order, nextAtMs: first, id: second };
}

type Parts = readonly [
  version: number,
  order: string,
  fingerprint: string,
  first: number,
  second: number,
];

function partsOf(text: string): Parts | undefined {
  const bytes = Buffer.from(text, 'base64url');
  // The decoder skips what does not belong there.
  if (bytes.toString('base64url') !== text) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || value.length !== 5 || value[0] !== version) return undefined;
  const [, order, fingerprint, first, second]: readonly unknown[] = value;
  if (typeof order !== 'string' || typeof fingerprint !== 'string') return undefined;
  if (!isCount(first) || !isCount(second)) return undefined;
  if (order === 'soonest' && first > instantMaxMs) return undefined;
  return [version, order, fingerprint, first, second];
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
