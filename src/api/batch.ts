import { BelfryError } from '../core/errors.ts';
import { problemOf, type Problem } from './problem.ts';

/** One timer of a batch as it came in, or why it could not be read. */
export interface BatchItem {
  readonly value: unknown;
  /** About what it takes in memory. */
  readonly bytes: number;
}

/** What became of one item, by its place in the batch. */
export type BatchResult<Timer> =
  | { readonly index: number; readonly status: 201; readonly timer: Timer }
  | { readonly index: number; readonly status: number; readonly error: Problem };

export const batchItemsMax = 10_000;
/** So much is under way at once: some flushes of the store's group commit. */
const underWayMax = 2_000;
const underWayBytesMax = 16 * 1024 * 1024;

/**
 * Creates the timers of a batch, many at once, and answers for each in its place; one that is refused
 * does not touch the others. What is read from `items` is bounded by what has been committed. When
 * `items` ends in an error (a line that is too long, too many items), that stands behind the results
 * of what came before it.
 */
export async function runBatch<Timer>(
  items: AsyncIterable<BatchItem> | Iterable<BatchItem>,
  create: (value: unknown, index: number) => Promise<Timer>,
): Promise<BatchResult<Timer>[]> {
  const results: BatchResult<Timer>[] = [];
  let underWay = 0;
  let underWayBytes = 0;
  let onEnd: (() => void) | undefined;

  async function run(index: number, { value, bytes }: BatchItem): Promise<void> {
    underWay += 1;
    underWayBytes += bytes;
    try {
      results[index] = { index, status: 201, timer: await create(value, index) };
    } catch (err) {
      results[index] = failure(index, err);
    }
    underWay -= 1;
    underWayBytes -= bytes;
    onEnd?.();
  }

  const until = async (isTime: () => boolean) => {
    while (!isTime()) {
      await new Promise<void>((resolve) => {
        onEnd = resolve;
      });
    }
  };

  let count = 0;
  try {
    for await (const item of items) {
      if (count >= batchItemsMax) {
        throw new BelfryError('body_too_large', `a batch is at most ${batchItemsMax} timers`);
      }
      await until(() => underWay < underWayMax && underWayBytes < underWayBytesMax);
      void run(count, item);
      count += 1;
    }
  } catch (err) {
    results[count] = failure(count, err);
  }
  await until(() => underWay === 0);
  return results;
}

function failure(
  index: number,
  err: unknown,
): { readonly index: number; readonly status: number; readonly error: Problem } {
  const known =
    err instanceof BelfryError
      ? err
      : new BelfryError('internal', 'this is a defect of Belfry', { cause: err });
  const error = problemOf(known);
  return { index, status: error.status, error };
}
