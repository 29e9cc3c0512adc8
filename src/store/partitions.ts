import { refusal, type Database } from './database.ts';

const partitioned = ['history_failed', 'history_done', 'attempts'] as const;
const dayMs = 86_400_000;

/** Days from today for which partitions are prepared. */
const daysAhead = 7;

/** What ATTACH says when rows of the new partition lie in the default one. */
const checkViolation = '23514';

const listPartitions = {
  name: 'list_partitions',
  text: `
SELECT c.relname::text FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
JOIN pg_namespace n ON n.oid = p.relnamespace
WHERE n.nspname = 'belfry' AND p.relname IN ('history_failed', 'history_done', 'attempts')`,
};

/**
 * Makes sure that history and attempts have a partition for today (UTC, by the database's clock)
 * and the days to come. Safe to run from several processes at once, and at any time: a new
 * partition is made beside and attached, which locks out no reader and no writer of the others. A
 * day of which rows lie in the default partition already (nobody prepared it in time) stays there:
 * it must keep neither the other days nor the service from starting. Resolves with the names of the
 * new ones.
 */
export async function ensurePartitions(database: Database): Promise<string[]> {
  const [today] = await database.query<[number]>({
    name: 'database_now',
    text: 'SELECT clock_timestamp()',
  });
  const existing = new Set(
    (await database.query<[string]>(listPartitions)).map(([relation]) => relation),
  );
  const created: string[] = [];
  for (let day = 0; day <= daysAhead; day++) {
    const from = dayText((today?.[0] ?? 0) + day * dayMs);
    const to = dayText((today?.[0] ?? 0) + (day + 1) * dayMs);
    for (const parent of partitioned) {
      const name = `${parent}_${from.replaceAll('-', '')}`;
      if (existing.has(name)) continue;
      if (await attach(database, { parent, name, from, to })) created.push(name);
    }
  }
  return created;
}

/** False when it stands already, or cannot because its rows lie in the default partition. */
async function attach(
  database: Database,
  { parent, name, from, to }: { parent: string; name: string; from: string; to: string },
): Promise<boolean> {
  try {
    return await database.session(async (client) => {
      await client.query('BEGIN');
      await client.query(`SELECT pg_advisory_xact_lock(hashtext('belfry partition'))`);
      const { rows } = await client.query<{ exists: boolean }>(
        'SELECT to_regclass($1) IS NOT NULL AS exists',
        [`belfry.${name}`],
      );
      const isNew = rows[0]?.exists !== true;
      if (isNew) {
        await client.query(
          `CREATE TABLE belfry.${name} (LIKE belfry.${parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`,
        );
        await client.query(
          `ALTER TABLE belfry.${parent} ATTACH PARTITION belfry.${name}
           FOR VALUES FROM ('${from}T00:00:00Z') TO ('${to}T00:00:00Z')`,
        );
      }
      await client.query('COMMIT');
      return isNew;
    });
  } catch (err) {
    if (refusal(err)?.code === checkViolation) return false;
    throw err;
  }
}

function dayText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
