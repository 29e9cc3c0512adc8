import pg from 'pg';
import type { PartitionedTable } from '../core/partitionPlan.ts';
import { isLockTimeout, refusal, type Database } from './database.ts';
import { partitionLockTimeoutMs, readPartitions, type Partition } from './partitions.ts';

/** A former partition on its way out: no reader of its table finds it any more. */
export interface DetachedTable {
  readonly table: PartitionedTable;
  readonly name: string;
  readonly pages: number;
  /** As PostgreSQL estimates it; null when it never has. */
  readonly rows: number | null;
}

/** What it was called as a partition follows. A detached table is found again by this. */
const detachedPrefix = 'past_';

const undefinedTable = '42P01';

const listDetached = {
  name: 'list_detached_partitions',
  text: `
SELECT substring(c.relname FROM '^past_(history_failed|history_done|attempts)_'), c.relname::text,
  pg_relation_size(c.oid) / current_setting('block_size')::bigint,
  nullif(c.reltuples, -1)::float8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'belfry' AND c.relkind = 'r' AND NOT c.relispartition
  AND c.relname ~ '^past_(history_failed|history_done|attempts)_'
ORDER BY c.relname`,
};

// A range of pages, so that it costs the same in every part of a table of any size, whether it is
// the first look or one after a crash. Served by timer_labels_pkey.
const forgetLabels = (name: string) => `
WITH forgotten AS (
  DELETE FROM belfry.timer_labels l USING (
    SELECT project_id, id, unnest(labels) AS label FROM belfry.${pg.escapeIdentifier(name)}
    WHERE ctid >= $1::tid AND ctid < $2::tid
  ) AS h
  WHERE l.project_id = h.project_id AND l.label = h.label AND l.timer_id = h.id
  RETURNING 1
)
SELECT count(*) FROM forgotten`;

// The default partitions hold little or nothing: they are read from the beginning.
const oldRows = (table: string, instant: string) => `
  DELETE FROM belfry.${table}_rest WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM belfry.${table}_rest
    WHERE ${instant} < statement_timestamp() - $1::float8 * interval '1 millisecond'
    LIMIT $2::integer FOR UPDATE SKIP LOCKED))`;

const deleteHistoryRest = (table: 'history_done' | 'history_failed') => ({
  name: `delete_${table}_rest`,
  text: `
WITH old AS (${oldRows(table, 'finished_at')}
  RETURNING project_id, id, labels
), forgotten AS (
  DELETE FROM belfry.timer_labels l
  USING (SELECT project_id, id, unnest(labels) AS label FROM old) AS h
  WHERE l.project_id = h.project_id AND l.label = h.label AND l.timer_id = h.id
  RETURNING 1
)
SELECT (SELECT count(*) FROM old), (SELECT count(*) FROM forgotten)`,
});

const deleteRest: Readonly<Record<PartitionedTable, { name: string; text: string }>> = {
  history_done: deleteHistoryRest('history_done'),
  history_failed: deleteHistoryRest('history_failed'),
  attempts: {
    name: 'delete_attempts_rest',
    text: `
WITH old AS (${oldRows('attempts', 'recorded_at')}
  RETURNING 1
)
SELECT count(*), 0::bigint FROM old`,
  },
};

/** The steps of removing what is older than its retention. Each is bounded and harmless twice. */
export function createRetentionStore(database: Database, lockTimeoutMs = partitionLockTimeoutMs) {
  return {
    readPartitions: () => readPartitions(database),

    /**
     * Takes a partition out of its table. That needs the table, its default partition and the
     * partition for a moment exclusively (so does DROP; DETACH CONCURRENTLY is refused where there
     * is a default). While it waits for the first, all who come later queue behind it: so it waits
     * only shortly (`busy`), and for the others, which whoever holds them without the first may
     * hold for long, not at all.
     */
    async detach({ table, name }: Partition): Promise<'detached' | 'busy' | 'gone'> {
      const partition = pg.escapeIdentifier(name);
      const detached = pg.escapeIdentifier(detachedPrefix + name);
      try {
        await database.session(async (client) => {
          await client.query('BEGIN');
          await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
          await client.query(`LOCK TABLE ONLY belfry.${table} IN ACCESS EXCLUSIVE MODE`);
          await client.query(
            `LOCK TABLE belfry.${table}_rest, belfry.${partition} IN ACCESS EXCLUSIVE MODE NOWAIT`,
          );
          await client.query(`ALTER TABLE belfry.${table} DETACH PARTITION belfry.${partition}`);
          await client.query(`ALTER TABLE belfry.${partition} RENAME TO ${detached}`);
          await client.query('COMMIT');
        });
        return 'detached';
      } catch (err) {
        if (isLockTimeout(err)) return 'busy';
        if (refusal(err)?.code === undefinedTable) return 'gone';
        throw err;
      }
    },

    async detached(): Promise<DetachedTable[]> {
      const rows =
        await database.query<[PartitionedTable, string, number, number | null]>(listDetached);
      return rows.map(([table, name, pages, estimate]) => ({
        table,
        name,
        pages,
        rows: estimate,
      }));
    },

    /** Deletes the labels of the timers on these pages of a detached part of history. */
    async forgetLabels({ name }: DetachedTable, fromPage: number, pages: number): Promise<number> {
      const rows = await database.query<[number]>({ name: '', text: forgetLabels(name) }, [
        `(${fromPage},0)`,
        `(${fromPage + pages},0)`,
      ]);
      return rows[0]?.[0] ?? 0;
    },

    /** False when somebody reads it. */
    async drop({ name }: DetachedTable): Promise<boolean> {
      try {
        await database.session(async (client) => {
          await client.query('BEGIN');
          await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
          await client.query(`DROP TABLE IF EXISTS belfry.${pg.escapeIdentifier(name)}`);
          await client.query('COMMIT');
        });
        return true;
      } catch (err) {
        if (isLockTimeout(err)) return false;
        throw err;
      }
    },

    /** Deletes so many old rows of the default partition, and the labels of their timers. */
    async deleteRest(
      table: PartitionedTable,
      retentionMs: number,
      rowsMax: number,
    ): Promise<{ rows: number; labels: number }> {
      const [row] = await database.query<[number, number]>(deleteRest[table], [
        retentionMs,
        rowsMax,
      ]);
      return { rows: row?.[0] ?? 0, labels: row?.[1] ?? 0 };
    },
  };
}
