import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import { createBatcher } from './batcher.ts';
import type { Fence } from './claim.ts';
import type { Database } from './database.ts';

/** A request that its owner gives a timer back which it holds and has not started. */
export interface GiveBack {
  readonly id: number;
  readonly timerId: TimerId;
}

interface Request extends GiveBack {
  readonly owner: number;
}

interface Gift {
  readonly giveBackId: number;
  readonly timer: Fence;
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

// Answers with those that the owner had still, and whose request had not been withdrawn. Served by
// give_backs_pkey and timers_pkey.
const give = {
  name: 'give_back_timers',
  text: `
WITH input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
    AS i(give_back_id, id, owner, claim)
), taken_up AS (
  DELETE FROM belfry.give_backs g USING input i WHERE g.id = i.give_back_id RETURNING g.id
)
UPDATE belfry.timers t SET owner = NULL, claim = NULL, start_marked = false
FROM input i
WHERE t.id = ANY ($2::bigint[]) AND t.id = i.id AND t.owner = i.owner AND t.claim = i.claim
  AND i.give_back_id IN (SELECT id FROM taken_up)
RETURNING i.give_back_id`,
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
 * decides. The owner deletes it in the very statement that makes the timer nobody's (or to refuse);
 * the one who asked deletes it to give up waiting. So after either the answer is final. Should the one
 * who asked die before it has made its change, the next sweep (within about a second) finds the timer.
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
  const gifts = createBatcher<Gift, boolean>({
    name: 'timers to give back',
    onLoss: 'fail',
    async flush(batch) {
      const sorted = batch.toSorted((a, b) => a.timer.id - b.timer.id);
      const rows = await database.query<[number]>(give, [
        sorted.map(({ giveBackId }) => giveBackId),
        sorted.map(({ timer }) => timer.id),
        sorted.map(({ timer }) => timer.owner),
        sorted.map(({ timer }) => timer.claim),
      ]);
      const given = new Set(rows.map(([giveBackId]) => giveBackId));
      return batch.map(({ giveBackId }) => given.has(giveBackId));
    },
  });
  return {
    ask: asks.add,
    /** Makes the timer nobody's, if it is ours still and the request was not withdrawn. */
    give: (giveBackId: number, timer: Fence) => gifts.add({ giveBackId, timer }),
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
