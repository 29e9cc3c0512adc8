import {
  dayMs,
  partitionsToCreate,
  retentionOf,
  type PartitionedTable,
  type PartitionRange,
  type Retention,
} from '../core/partitionPlan.ts';
import { isLockTimeout, refusal, type Database } from './database.ts';

export const partitionedTables = [
  'history_failed',
  'history_done',
  'attempts',
] as const satisfies readonly PartitionedTable[];

/** A partition with bounds: the default ones are not among them. */
export interface Partition extends PartitionRange {
  readonly table: PartitionedTable;
  readonly name: string;
}

/**
 * The longest that a change of partitions waits for a lock. Whoever needs the table after it queues
 * behind it as long.
 */
export const partitionLockTimeoutMs = 100;

/** What ATTACH says when rows of the new partition lie in the default one. */
const checkViolation = '23514';

/** What it says when another process has attached one that overlaps. */
const overlap = '42P17';

// Bounds are written, and read again here, in the time zone and the style of the session.
const listPartitions = {
  name: 'list_partitions',
  text: `
SELECT p.relname::text, c.relname::text,
  coalesce(extract(epoch FROM (b.texts)[1]::timestamptz) * 1000, '-infinity')::float8,
  coalesce(extract(epoch FROM (b.texts)[2]::timestamptz) * 1000, 'infinity')::float8
FROM pg_class p
JOIN pg_namespace n ON n.oid = p.relnamespace
JOIN pg_inherits i ON i.inhparent = p.oid JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS expression) AS e
CROSS JOIN LATERAL (SELECT ARRAY[
  substring(e.expression FROM $re$FROM \\('([^']+)'\\)$re$),
  substring(e.expression FROM $re$TO \\('([^']+)'\\)$re$)] AS texts) AS b
WHERE n.nspname = 'belfry' AND p.relname = ANY ($1::text[])
  AND e.expression IS DISTINCT FROM 'DEFAULT'
ORDER BY 1, 3`,
};

const databaseNow = {
  name: 'database_now',
  text: `
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8`,
};

type PartitionRow = readonly [table: PartitionedTable, name: string, fromMs: number, toMs: number];

/** All partitions with bounds, by table, oldest first, and the database's clock. */
export async function readPartitions(
  database: Pick<Database, 'query'>,
): Promise<{ nowMs: number; partitions: Partition[] }> {
  const rows = await database.query<PartitionRow>(listPartitions, [partitionedTables]);
  const [now] = await database.query<[number]>(databaseNow);
  const partitions = rows.map(([table, name, fromMs, toMs]) => ({ table, name, fromMs, toMs }));
  return { nowMs: now?.[0] ?? 0, partitions };
}

/**
 * Makes sure that history and attempts have partitions for today (UTC, by the database's clock) and
 * the days to come. Safe to run from several processes at once, with different settings, and at any
 * time. A day of which rows lie in the default partition already (nobody prepared it in time) stays
 * there: it must keep neither the other days nor the service from starting. Resolves with the names
 * of the new ones.
 */
export async function ensurePartitions(
  database: Database,
  retention: Retention,
): Promise<string[]> {
  const created: string[] = [];
  for (const table of partitionedTables) {
    created.push(...(await ensurePartitionsOf(database, table, retentionOf(table, retention))));
  }
  return created;
}

async function ensurePartitionsOf(
  database: Database,
  table: PartitionedTable,
  retentionMs: number,
): Promise<string[]> {
  const created: string[] = [];
  const impossible: PartitionRange[] = [];
  const tried = new Set<number>();
  for (;;) {
    const { nowMs, partitions } = await readPartitions(database);
    const own = partitions.filter((partition) => partition.table === table);
    const [range] = partitionsToCreate({ nowMs, retentionMs, existing: [...own, ...impossible] });
    if (range === undefined) return created;
    const name = `${table}_${dayText(range.fromMs).replaceAll('-', '')}`;
    const outcome = await attach(database, { ...range, table, name });
    if (outcome === 'busy') return created;
    if (outcome === 'attached') created.push(name);
    // Taken once: by another process, whose partition the next reading shows.
    else if (outcome === 'rows in the default' || tried.has(range.fromMs)) {
      impossible.push({ fromMs: range.fromMs, toMs: range.fromMs + dayMs });
    }
    tried.add(range.fromMs);
  }
}

/**
 * A new partition is made beside and attached. That locks out no writer, but everybody who reads
 * through the default partition, so it waits only shortly behind a long reader and is tried again
 * by the next run: days ahead of need.
 */
async function attach(
  database: Database,
  { table, name, fromMs, toMs }: Partition,
): Promise<'attached' | 'taken' | 'rows in the default' | 'busy'> {
  try {
    return await database.session(async (client) => {
      await client.query('BEGIN');
      await client.query(`SELECT pg_advisory_xact_lock(hashtext('belfry partition'))`);
      await client.query(`SET LOCAL lock_timeout = ${partitionLockTimeoutMs}`);
      const { rows } = await client.query<{ exists: boolean }>(
        'SELECT to_regclass($1) IS NOT NULL AS exists',
        [`belfry.${name}`],
      );
      const isTaken = rows[0]?.exists === true;
      if (!isTaken) {
        await client.query(
          `CREATE TABLE belfry.${name} (LIKE belfry.${table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`,
        );
        await client.query(
          `ALTER TABLE belfry.${table} ATTACH PARTITION belfry.${name}
           FOR VALUES FROM ('${dayText(fromMs)}T00:00:00Z') TO ('${dayText(toMs)}T00:00:00Z')`,
        );
      }
      await client.query('COMMIT');
      return isTaken ? 'taken' : 'attached';
    });
  } catch (err) {
    if (isLockTimeout(err)) return 'busy';
    const code = refusal(err)?.code;
    if (code === checkViolation) return 'rows in the default';
    if (code === overlap) return 'taken';
    throw err;
  }
}

function dayText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
