import { BelfryError } from '../core/errors.ts';
import { isRetryableRefusal, refusal } from './database.ts';

export interface BatcherOptions<Item, Result> {
  /** For messages: what is gathered here. */
  readonly name: string;
  /**
   * Commits all items in one statement; results in the order of the items, or the error that the
   * caller of that one gets although the flush is committed.
   */
  readonly flush: (
    items: readonly Item[],
    attempt: number,
  ) => Promise<readonly (Result | BelfryError)[]>;
  readonly bytesOf?: (item: Item) => number;
  readonly rowsMax?: number;
  readonly bytesMax?: number;
  /** Items waiting at the most; beyond it `add` fails with `overloaded`. */
  readonly queueMax?: number;
  /** How long to gather before a flush, where nobody waits for its answer; 0 by default. */
  readonly gatherMs?: number;
  /** What an item resolves with that the database refuses; by default it rejects with the refusal. */
  readonly ofRefused?: Result;
  /** What to do when the connection is lost in a flush: fail the callers, or wait and try again. */
  readonly onLoss: 'fail' | 'retry';
  /** How long to wait before the next try of a lost flush. */
  readonly lossPauseMs?: number;
}

export interface Batcher<Item, Result> {
  /** Resolves after the commit of the flush that carried the item. */
  add(item: Item): Promise<Result>;
  /** Items that wait or are being committed. */
  size(): number;
  /**
   * Resolves when all that was added is settled; retries end once `signal` aborts. What is added
   * after is tried once: the store is about to close, and nobody waits for it any more.
   */
  drain(signal: AbortSignal): Promise<void>;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (err: unknown) => void;
}

const deadlockRetriesMax = 5;

/**
 * Group commit: what arrives together is committed together. While one flush is under way the next
 * one gathers, so that a lone item is committed at once and a crowd shares its fsyncs (one INSERT a
 * request reached a third of the creates).
 *
 * Two modes: idle (nothing under way; `add` schedules a flush at the end of the current turn of the
 * event loop) and flushing (one flush under way, then the next while anything waits).
 */
export function createBatcher<Item, Result>(
  options: BatcherOptions<Item, Result>,
): Batcher<Item, Result> {
  const { name, flush, bytesOf = () => 0, rowsMax = 500, bytesMax = 4 * 1024 * 1024 } = options;
  const { queueMax = 10_000, gatherMs = 0, ofRefused, onLoss, lossPauseMs = 250 } = options;
  let queue: Waiting<Item, Result>[] = [];
  let underWay = 0;
  let flushing = false;
  const idleWaiters: (() => void)[] = [];
  let givenUp = false;

  function takeFlush(): Waiting<Item, Result>[] {
    let bytes = 0;
    let count = 0;
    while (count < queue.length && count < rowsMax) {
      const next = queue[count];
      if (next === undefined) break;
      bytes += bytesOf(next.item);
      if (bytes > bytesMax && count > 0) break;
      count += 1;
    }
    if (count === queue.length) {
      const all = queue;
      queue = [];
      return all;
    }
    return queue.splice(0, count);
  }

  async function run(): Promise<void> {
    while (queue.length > 0) {
      if (gatherMs > 0 && queue.length < rowsMax) {
        await new Promise((resolve) => setTimeout(resolve, gatherMs));
      }
      const batch = takeFlush();
      underWay = batch.length;
      await settle(batch);
      underWay = 0;
    }
    flushing = false;
    for (const resolve of idleWaiters.splice(0)) resolve();
  }

  async function settle(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    const items = batch.map((waiting) => waiting.item);
    for (let attempt = 1; ; attempt++) {
      try {
        const results = await flush(items, attempt);
        if (results.length !== batch.length) throw new Error(`${name}: not a result for each item`);
        for (const [index, result] of results.entries()) {
          if (result instanceof BelfryError) batch[index]?.reject(result);
          else batch[index]?.resolve(result);
        }
        return;
      } catch (err) {
        if (isRetryableRefusal(err) && attempt <= deadlockRetriesMax) continue;
        if (refusal(err) !== undefined && batch.length > 1) {
          // One row is at fault: halve until it stands alone, so that only its caller is told.
          const middle = batch.length >> 1;
          await settle(batch.slice(0, middle));
          await settle(batch.slice(middle));
          return;
        }
        if (err instanceof BelfryError && onLoss === 'retry' && !givenUp) {
          await new Promise((resolve) => setTimeout(resolve, lossPauseMs));
          continue;
        }
        const isRefused = refusal(err) !== undefined && !isRetryableRefusal(err);
        for (const waiting of batch) {
          if (isRefused && ofRefused !== undefined) waiting.resolve(ofRefused);
          else waiting.reject(err);
        }
        return;
      }
    }
  }

  return {
    add(item) {
      return new Promise<Result>((resolve, reject) => {
        if (queue.length >= queueMax) {
          reject(new BelfryError('overloaded', `${name}: ${queueMax} are waiting already`));
          return;
        }
        queue.push({ item, resolve, reject });
        if (!flushing) {
          flushing = true;
          setImmediate(() => void run());
        }
      });
    },
    size: () => queue.length + underWay,
    async drain(signal) {
      const giveUp = () => {
        givenUp = true;
      };
      if (signal.aborted) giveUp();
      signal.addEventListener('abort', giveUp, { once: true });
      if (flushing) await new Promise<void>((resolve) => idleWaiters.push(resolve));
      giveUp();
    },
  };
}
