import {
  counted,
  emptyLedger,
  take,
  type Granted,
  type Ledger,
  type Wish,
} from '../core/quotaLedger.ts';
import { numberArray, textArray } from './arrayLiteral.ts';
import type { Database } from './database.ts';

/** A process's wish for a project. */
export interface ProjectWish extends Wish {
  readonly projectId: number;
}

type LedgerRow = readonly [
  projectId: number,
  live: number | null,
  sinceCount: number,
  countId: number,
  countBeganAtMs: number,
  recountAtMs: number,
  staleAtMs: number,
  day: number,
  created: number,
  holds: Ledger['holds'],
  nowMs: number,
];

const addLedgers = `
INSERT INTO belfry.quota_ledgers (project_id)
SELECT i.id FROM unnest($1::bigint[]) AS i(id) JOIN belfry.projects p ON p.id = i.id
ON CONFLICT DO NOTHING`;

const columns = `project_id, live, since_count, count_id, count_began_at, recount_at, stale_at, day,
  created, holds, (extract(epoch FROM clock_timestamp()) * 1000)::float8`;

// By quota_ledgers_pkey, in the order of projects: two processes never wait for each other crosswise.
const lockLedgers = `
SELECT ${columns} FROM belfry.quota_ledgers WHERE project_id = ANY ($1::bigint[])
ORDER BY project_id FOR UPDATE`;

const instant = (column: string) => `timestamptz 'epoch' + i.${column} * interval '1 millisecond'`;

const writeLedgers = `
UPDATE belfry.quota_ledgers l SET live = i.live, since_count = i.since_count, count_id = i.count_id,
  count_began_at = ${instant('count_began_at')}, recount_at = ${instant('recount_at')},
  stale_at = ${instant('stale_at')}, day = i.day, created = i.created, holds = i.holds::jsonb
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::float8[], $6::float8[],
  $7::float8[], $8::integer[], $9::bigint[], $10::text[])
  AS i(project_id, live, since_count, count_id, count_began_at, recount_at, stale_at, day, created, holds)
WHERE l.project_id = i.project_id`;

// No index leads there, on purpose: one by project cost every create a fifth more of its insert, of all
// projects, and counted no faster (0.7 s of 1,000,000 rows that were being claimed; without it 0.4 s).
// It is asked rarely: see core/quotaLedger.ts.
const countLive = {
  name: 'count_live_timers',
  text: `
SELECT count(*) FROM (
  SELECT FROM belfry.timers WHERE project_id = $1::bigint LIMIT $2::bigint
) AS live`,
};

const readLedger = {
  name: 'read_quota_ledger',
  text: `SELECT ${columns} FROM belfry.quota_ledgers WHERE project_id = $1::bigint`,
};

const keptLedgers = {
  name: 'kept_quota_ledgers',
  text: `
SELECT project_id FROM belfry.quota_ledgers WHERE project_id = ANY ($1::bigint[])`,
};

export function createQuotaLedgerStore(options: {
  database: Database;
  /** For counts: they must not hold a connection of creates and claims. */
  countDatabase: Database;
}) {
  const { database, countDatabase } = options;

  /** In a transaction that holds the rows: everybody else's change is before or behind it. */
  function change(
    projectIds: readonly number[],
    decide: (projectId: number, ledger: Ledger, nowMs: number) => Ledger,
  ): Promise<void> {
    return database.session(async (client) => {
      const ids = numberArray(projectIds);
      await client.query('BEGIN');
      let rows = await locked(ids);
      if (rows.length < projectIds.length) {
        await client.query(addLedgers, [ids]);
        rows = await locked(ids);
      }
      const ledgers = rows.map((row) => {
        const [projectId] = row;
        return [projectId, decide(projectId, ledgerOf(row), row[10])] as const;
      });
      await client.query(writeLedgers, [
        numberArray(ledgers.map(([id]) => id)),
        numberArray(ledgers.map(([, { live }]) => live)),
        numberArray(ledgers.map(([, { sinceCount }]) => sinceCount)),
        numberArray(ledgers.map(([, { countId }]) => countId)),
        numberArray(ledgers.map(([, { countBeganAtMs }]) => countBeganAtMs)),
        numberArray(ledgers.map(([, { recountAtMs }]) => recountAtMs)),
        numberArray(ledgers.map(([, { staleAtMs }]) => staleAtMs)),
        numberArray(ledgers.map(([, { day }]) => day)),
        numberArray(ledgers.map(([, { created }]) => created)),
        textArray(ledgers.map(([, { holds }]) => JSON.stringify(holds))),
      ]);
      await client.query('COMMIT');

      async function locked(wanted: string): Promise<LedgerRow[]> {
        const found = await client.query<LedgerRow & unknown[]>({
          text: lockLedgers,
          values: [wanted],
          rowMode: 'array',
        });
        return found.rows;
      }
    });
  }

  async function count(projectId: number, atMost: number): Promise<number> {
    const asked = countDatabase.inProject(projectId);
    const [row] = await asked.query<[number]>(countLive, [projectId, atMost]);
    return row?.[0] ?? 0;
  }

  return {
    /** What each gets, in their order; undefined for a project that does not exist. */
    async take(wishes: readonly ProjectWish[]): Promise<readonly (Granted | undefined)[]> {
      const projectIds = [...new Set(wishes.map(({ projectId }) => projectId))];
      const results = new Map<ProjectWish, Granted>();
      await change(
        projectIds.toSorted((a, b) => a - b),
        (id, ledger, nowMs) => {
          let after = ledger;
          for (const wish of wishes.filter(({ projectId }) => projectId === id)) {
            const [next, granted] = take(after, wish, nowMs);
            after = next;
            results.set(wish, granted);
          }
          return after;
        },
      );
      return wishes.map((wish) => results.get(wish));
    },
    /** Counts the live timers of a project, up to `atMost`, and keeps the result under `countId`. */
    async recount(projectId: number, countId: number, atMost: number): Promise<void> {
      const startMs = performance.now();
      const result = { countId, count: await count(projectId, atMost) };
      const tookMs = performance.now() - startMs;
      await change([projectId], (_id, ledger, nowMs) =>
        counted(ledger, { ...result, tookMs }, nowMs),
      );
    },
    countLive: count,
    /** Undefined for a project that has had no such quotas. `nowMs` is the database's clock. */
    async read(projectId: number): Promise<{ ledger: Ledger; nowMs: number } | undefined> {
      const [row] = await database.query<LedgerRow>(readLedger, [projectId]);
      return row === undefined ? undefined : { ledger: ledgerOf(row), nowMs: row[10] };
    },
    /** Which of these have a ledger. */
    async kept(projectIds: readonly number[]): Promise<readonly number[]> {
      const rows = await database.query<[number]>(keptLedgers, [numberArray(projectIds)]);
      return rows.map(([id]) => id);
    },
  };
}

export type QuotaLedgerStore = ReturnType<typeof createQuotaLedgerStore>;

function ledgerOf(row: LedgerRow): Ledger {
  const [, live, sinceCount, countId, countBeganAtMs, recountAtMs, staleAtMs, day, created, holds] =
    row;
  return {
    ...emptyLedger,
    live,
    sinceCount,
    countId,
    countBeganAtMs,
    recountAtMs,
    staleAtMs,
    day,
    created,
    holds,
  };
}
