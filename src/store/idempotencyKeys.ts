import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import { numberArray, textArray } from './arrayLiteral.ts';
import type { Database } from './database.ts';

/** What was answered under a key. Instants in milliseconds of the Unix epoch. */
export interface AnsweredKey {
  readonly projectId: number;
  readonly key: string;
  readonly fingerprint: Buffer;
  readonly id: TimerId;
  readonly dueAtMs: number;
  readonly createdAtMs: number;
}

// A statement of its own, after the insert: in one with it, the loser of a race saw no row, because
// the winner's was not there when the statement began. Served by idempotency_keys_pkey.
const readKeys = {
  name: 'read_idempotency_keys',
  text: `
SELECT k.project_id, k.key, k.fingerprint, k.timer_id,
  round(date_part('epoch', k.due_at) * 1000)::bigint,
  round(date_part('epoch', k.created_at) * 1000)::bigint
FROM unnest($1::bigint[], $2::text[]) AS i(project_id, key)
JOIN belfry.idempotency_keys k ON k.project_id = i.project_id AND k.key = i.key`,
};

// Served by idempotency_keys_created_at. A minute past the window, so that nobody who has just found
// a key taken looks for it in vain.
const forgetKeys = {
  name: 'forget_idempotency_keys',
  text: `
DELETE FROM belfry.idempotency_keys k USING (
  SELECT project_id, key FROM belfry.idempotency_keys
  WHERE created_at < statement_timestamp() - $1::float8 * interval '1 millisecond' - interval '1 minute'
  ORDER BY created_at LIMIT $2::integer FOR UPDATE SKIP LOCKED
) AS old
WHERE k.project_id = old.project_id AND k.key = old.key
RETURNING k.timer_id`,
};

const forgetRows = 5_000;
const forgetRoundsMax = 100;

export function createIdempotencyKeyStore(database: Database) {
  return {
    async read(
      keys: readonly { readonly projectId: number; readonly key: string }[],
    ): Promise<AnsweredKey[]> {
      const rows = await database.query<[number, string, Buffer, number, number, number]>(
        readKeys,
        [
          numberArray(keys.map(({ projectId }) => projectId)),
          textArray(keys.map(({ key }) => key)),
        ],
      );
      return rows.map(([projectId, key, fingerprint, id, dueAtMs, createdAtMs]) => ({
        projectId,
        key,
        fingerprint,
        id: timerIdFromDatabase(id),
        dueAtMs,
        createdAtMs,
      }));
    },
    /** Deletes what is older than the window, some thousand rows a statement. */
    async forget(windowMs: number): Promise<void> {
      for (let round = 0; round < forgetRoundsMax; round++) {
        const rows = await database.query<[number]>(forgetKeys, [windowMs, forgetRows]);
        if (rows.length < forgetRows) return;
      }
    },
  };
}
