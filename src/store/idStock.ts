import { machineClock, type MachineClock } from '../core/clock.ts';
import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import type { Database } from './database.ts';

const allocateIds = {
  name: 'allocate_ids',
  text: `
SELECT string_agg(id::text, ',')
FROM (SELECT nextval('belfry.timer_id') AS id FROM generate_series(1, $1::integer)) AS ids`,
};

/** Flushes that a full stock serves, and its bound. */
const stockFlushes = 16;
const stockMax = 1_000;
/** Ids follow the order of creation within this: lists seek an instant of creation by id. */
const keptMs = 60_000;

/**
 * Ids are taken from the sequence ahead of the insert, so that a flush whose commit is unknown can
 * be looked for by id. Under load a stock hides the round trip; a lone create fetches just its own.
 * What is in stock when a process ends, or for more than a minute, is a gap in the numbers. (Where
 * the stock never runs empty that takes the younger ones along: a thousand numbers a minute.)
 */
export function createIdStock(
  database: Database,
  { monotonicMs }: Pick<MachineClock, 'monotonicMs'> = machineClock,
): { take(count: number): Promise<TimerId[]> } {
  let stock: TimerId[] = [];
  /** When the oldest of the stock were asked for. */
  let stockedAtMs = 0;
  let refill: Promise<void> | undefined;

  async function fetch(count: number): Promise<TimerId[]> {
    const [row] = await database.query<[string]>(allocateIds, [count]);
    return (row?.[0] ?? '').split(',').map((id) => timerIdFromDatabase(Number(id)));
  }

  async function fill(count: number): Promise<void> {
    const askedAtMs = monotonicMs();
    try {
      const ids = await fetch(count);
      if (stock.length === 0) stockedAtMs = askedAtMs;
      stock.push(...ids);
    } catch {
      // Not this caller's: the next take fetches for itself.
    } finally {
      refill = undefined;
    }
  }

  return {
    async take(count) {
      if (stock.length < count) await refill;
      if (monotonicMs() - stockedAtMs > keptMs) stock = [];
      const taken = stock.splice(0, count);
      if (taken.length < count) taken.push(...(await fetch(count - taken.length)));
      const isCrowd = count > 1;
      if (isCrowd && stock.length < 2 * count) {
        refill ??= fill(Math.min(count * stockFlushes, stockMax));
      }
      return taken;
    },
  };
}
