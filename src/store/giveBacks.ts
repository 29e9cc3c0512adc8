import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import { createBatcher } from './batcher.ts';
import type { Database } from './database.ts';

/** A request that its owner cancels a timer which it holds and has not started. */
export interface GiveBack {
  readonly id: number;
  readonly timerId: TimerId;
}

interface Request extends GiveBack {
  readonly owner: number;
}

// In batches, with one notification for each owner: NOTIFY takes a lock of the whole instance until
// the commit is on disk, so requests one by one stood in line for it.
const ask = {
  name: 'ask_give_backs',
  text: `
WITH asked AS (
  INSERT INTO belfry.give_backs (id, owner, timer_id)
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
)
SELECT pg_notify('belfry', 'asked ' || owner)
FROM (SELECT DISTINCT unnest($2::bigint[]) AS owner) AS owners`,
};

const pending = {
  name: 'pending_give_backs',
  text: `SELECT id, timer_id FROM belfry.give_backs WHERE owner = $1::bigint`,
};

const close = {
  name: 'close_give_back',
  text: `DELETE FROM belfry.give_backs WHERE id = $1::bigint RETURNING id`,
};

const announce = {
  name: 'announce_give_backs',
  text: `SELECT pg_notify('belfry', 'answered ' || id::text) FROM unnest($1::bigint[]) AS i(id)`,
};

const forget = {
  name: 'forget_give_backs',
  text: `
DELETE FROM belfry.give_backs WHERE requested_at < statement_timestamp() - interval '1 minute'`,
};

/**
 * Asking another process to give a timer back. The row is the handshake: whoever deletes it
 * decides. The owner deletes it in the very statement that cancels the timer (or to refuse); the
 * one who asked deletes it to give up waiting. So after either the answer is final.
 */
export function createGiveBackStore(database: Database) {
  const asks = createBatcher<Request, void>({
    name: 'requests to give back',
    onLoss: 'fail',
    async flush(requests) {
      await database.query(ask, [
        requests.map(({ id }) => id),
        requests.map(({ owner }) => owner),
        requests.map(({ timerId }) => timerId),
      ]);
      return requests.map(() => undefined);
    },
  });
  return {
    ask: asks.add,
    async pending(owner: number): Promise<GiveBack[]> {
      const rows = await database.query<[number, number]>(pending, [owner]);
      return rows.map(([id, timerId]) => ({ id, timerId: timerIdFromDatabase(timerId) }));
    },
    /** Refuses or withdraws; false when the other side was first. */
    async close(id: number): Promise<boolean> {
      return (await database.query<[number]>(close, [id])).length === 1;
    },
    /** Tells those who asked that there is an answer to read. */
    async announce(ids: readonly number[]): Promise<void> {
      await database.query(announce, [ids]);
    },
    /** Deletes what was left by processes that died while they waited. */
    async forget(): Promise<void> {
      await database.query(forget);
    },
  };
}

export type GiveBackStore = ReturnType<typeof createGiveBackStore>;
