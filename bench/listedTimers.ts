import type { Belfry } from './belfry.ts';

/** What the lists of `scenarios/lists.ts` meet: 30 days of history, and what still waits. */
export interface Listed {
  readonly finished: number;
  readonly live: number;
}

export const HISTORY_DAYS = 30;
const DAY_MS = 86_400_000;
const CHUNK = 200_000;

/** Every fifth bears it; of the others, every 10,000th. */
export const LABELS = { broad: 'broad', rare: 'rare' } as const;
export const HOSTS = 500;

const TIMERS = `
SELECT n AS id, 'http://h' || n * 7919 % ${HOSTS} || '.example.com/hook' AS url,
  date_trunc('milliseconds', $3::timestamptz + n * $4::float8 * interval '1 ms') AS created_at,
  CASE WHEN n % 10000 = 1 THEN ARRAY['${LABELS.broad}', '${LABELS.rare}']
    WHEN n % 5 = 1 THEN ARRAY['${LABELS.broad}'] END AS labels,
  n * 104729 % 86400 AS spread_s
FROM generate_series($1::bigint, $2::bigint) AS n`;

// Of 50 one has failed and one was cancelled. They finish within a day.
const FINISHED = `
INSERT INTO belfry.history (id, project_id, finished_at, due_at, created_at, attempts, append_id,
  status, failure_code, url, method, labels)
SELECT id, 1, due_at, due_at, created_at, 1, true,
  CASE id % 50 WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled' ELSE 'succeeded' END,
  CASE WHEN id % 50 = 1 THEN 'http_status' END, url, 'POST', labels
FROM (${TIMERS}) AS t,
  LATERAL (SELECT least(created_at + spread_s * interval '1 s', now()) AS due_at) AS d
WHERE id % $5::integer <> 0`;

const LIVE = `
INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url, labels)
SELECT id, 1, due_at, due_at, created_at, url, labels
FROM (${TIMERS}) AS t, LATERAL (SELECT date_trunc('milliseconds',
  now() + interval '1 day' + spread_s * 30 * interval '1 s') AS due_at) AS d
WHERE id % $5::integer = 0`;

const LABELLED = `
INSERT INTO belfry.timer_labels (project_id, label, timer_id)
SELECT 1, label, id FROM (${TIMERS}) AS t, unnest(labels) AS label
WHERE $5::integer > 0 ORDER BY label, id`;

/** Ids in the order of creation, live ones evenly among the finished. */
export async function seedListed(belfry: Belfry, { finished, live }: Listed): Promise<void> {
  await addPartitions(belfry);
  const total = finished + live;
  const stepMs = (HISTORY_DAYS * DAY_MS) / total;
  const startAt = new Date(Date.now() - HISTORY_DAYS * DAY_MS);
  for (let from = 1; from <= total; from += CHUNK) {
    const values = [from, Math.min(total, from + CHUNK - 1), startAt, stepMs, total / live];
    for (const statement of [FINISHED, LIVE, LABELLED]) await belfry.query(statement, values);
  }
  await belfry.query(`SELECT setval('belfry.timer_id', $1)`, [total]);
  for (const table of ['timers', 'history', 'timer_labels']) {
    await belfry.query(`VACUUM (ANALYZE) belfry.${table}`);
  }
  await belfry.query('CHECKPOINT');
}

async function addPartitions(belfry: Belfry): Promise<void> {
  const dayText = (day: number) => new Date(Date.now() - day * DAY_MS).toISOString().slice(0, 10);
  for (let day = HISTORY_DAYS; day > 0; day--) {
    const [from, to] = [dayText(day), dayText(day - 1)];
    for (const parent of ['history_done', 'history_failed']) {
      await belfry.query(
        `CREATE TABLE belfry.${parent}_${from.replaceAll('-', '')} PARTITION OF belfry.${parent}
         FOR VALUES FROM ('${from}T00:00:00Z') TO ('${to}T00:00:00Z')`,
      );
    }
  }
}
