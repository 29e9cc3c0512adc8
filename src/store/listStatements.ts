import { msUntil } from './msUntil.ts';
import type { Statement } from './database.ts';

/**
 * The order in which a list walks, and so the index that carries it. Each is walked by its own
 * statement, of which everything but `rowsMax` is constant: prepared once, the plan is kept.
 */
export type Walk = 'newest' | 'label' | 'key' | 'soonest';
/** What can hold a timer of the statuses asked for; the live ones are in `hot` alone. */
export type Tables = { readonly hot: boolean; readonly history: 'all' | 'done' | 'failed' | null };
/** All of a summary, or only what tells a timer and its status. */
export type Columns = 'summary' | 'identity';

/** Rows that one statement looks through: 5 ms; by label each is looked up in every partition, 28 ms. */
export const examinedMax: Readonly<Record<Walk, number>> = {
  newest: 5_000,
  label: 1_000,
  key: 5_000,
  soonest: 5_000,
};

/**
 * What the connections of lists are set to. The order has to come from the indexes, also where the
 * planner believes a project or a partition to be small (its guess is a prepared statement's, or
 * yesterday's): of 120,000 failed ones it would have sorted all, for 115 ms a page instead of 1. And
 * planning over 80 partitions takes 5 ms.
 */
export const listSettings = {
  enable_sort: 'off',
  enable_seqscan: 'off',
  plan_cache_mode: 'force_generic_plan',
  jit: 'off',
};

const identityColumns = (isHot: boolean) => [
  't.id',
  't.project_id',
  `${isHot ? "CASE WHEN t.attempts = 0 THEN 'pending' ELSE 'retrying' END" : 't.status'} AS status`,
  't.key',
  't.url',
  't.labels',
  't.created_at',
  't.due_at',
  `${isHot ? 't.next_at' : 'NULL::timestamptz'} AS next_at`,
  `${isHot ? 't.owner' : 'NULL::bigint'} AS owner`,
];
// octet_length reads no more than the header of a body that lies elsewhere.
const summaryColumns = (isHot: boolean) => [
  ...identityColumns(isHot),
  't.version',
  't.method',
  't.headers',
  'octet_length(t.body) AS body_bytes',
  't.append_id',
  't.timeout_ms',
  't.retry',
  't.metadata',
  't.expires_at',
  `${isHot ? 'NULL::timestamptz' : 't.finished_at'} AS finished_at`,
  `${isHot ? 'NULL::text' : 't.failure_code'} AS failure_code`,
  't.attempts',
];

const msOf = (instant: string) => `round(date_part('epoch', ${instant}) * 1000)`;

/** What comes of every row, and (on the right) how it is read: listTimers.ts. */
const identityAnswer = [
  'x.id',
  'x.status',
  'x.owner',
  `-(${msUntil('(SELECT p.expires_at FROM belfry.processes p WHERE p.id = x.owner)')})`,
  `coalesce(${msUntil('x.next_at')}, 0)`,
  msOf('x.next_at'),
];
const summaryAnswer = [
  ...identityAnswer,
  'x.version',
  'x.key',
  'x.url',
  'x.method',
  'x.headers',
  'x.body_bytes',
  'x.append_id',
  'x.timeout_ms',
  'x.retry',
  'x.labels',
  'x.metadata',
  msOf('x.created_at'),
  msOf('x.due_at'),
  msOf('x.expires_at'),
  // Not whole milliseconds, as the others are: cut off, as `GET /timers/{id}` shows it.
  msOf("date_trunc('milliseconds', x.finished_at)"),
  'x.failure_code',
  'x.attempts',
  `CASE WHEN x.next_at IS NULL THEN 0 ELSE greatest(0, ${msUntil('x.due_at')}) END`,
];

// $1 the project, $2 rows at most; $3–$13 the filter; $14 and on the place in the walk.
const filter = `x.project_id = $1::bigint
    AND ($3::text[] IS NULL OR x.status = ANY ($3) OR ($4::boolean AND x.owner IS NOT NULL))
    AND ($5::text IS NULL OR $5 = ANY (x.labels))
    AND ($6::text IS NULL
      OR (strpos(lower(x.url COLLATE "C"), $6) > 0 AND x.url ~* $7::text))
    AND ($8::text IS NULL OR x.key = $8)
    AND ($9::text IS NULL OR starts_with(x.url, $9))
    AND ($10::timestamptz IS NULL OR x.due_at >= $10)
    AND ($11::timestamptz IS NULL OR x.due_at < $11)
    AND ($12::timestamptz IS NULL OR x.created_at >= $12)
    AND ($13::timestamptz IS NULL OR x.created_at < $13)`;

/**
 * One step of a list: looks through up to `examinedMax` timers in the order of the walk, and answers
 * with those that match (at most $2) and with the last one that it looked at, so that a step costs the
 * same whatever it finds. Rows are pulled one by one: nothing is read behind the last that is answered,
 * but for one. The order comes from the indexes; nothing is sorted.
 *
 * With 5 million finished over 30 days and 1 million live: 1 ms for 50 rows at any place, 4.5 ms for
 * 5,000 that do not match; half of it, where partitions are many, is their first rows. The limits
 * within are what makes the planner merge the partitions: without, it sorted them (2.7 s).
 */
export function listStatement(walk: Walk, tables: Tables, columns: Columns): Statement {
  const select = columns === 'summary' ? summaryColumns : identityColumns;
  const answer = columns === 'summary' ? summaryAnswer : identityAnswer;
  const arms = [
    ...(tables.hot ? [{ from: 'belfry.timers t', isHot: true }] : []),
    ...(tables.history === null
      ? []
      : [{ from: `belfry.history${historyParts[tables.history]} t`, isHot: false }]),
  ].map(({ from, isHot }) => ({ isHot, text: `SELECT ${select(isHot).join(', ')} FROM ${from}` }));
  // At every level: one that does not ask for the order of the level below forgets it, and sorts.
  const order = walk === 'soonest' ? 'x.next_at, x.id' : 'x.at DESC';
  const text = `
SELECT x.at, x.place, x.is_last AND x.place < ${examinedMax[walk]} AS is_end, x.matched,
  ${answer.join(', ')}
FROM (
  SELECT x.*, coalesce(${filter}, false) AS matched
  FROM (
    SELECT x.*, row_number() OVER walk AS place, lead(x.at) OVER walk IS NULL AS is_last
    FROM (${sources[walk](arms, examinedMax[walk])}) AS x WINDOW walk AS (ORDER BY ${order})
  ) AS x
) AS x WHERE x.matched OR x.is_last
ORDER BY ${order} LIMIT $2::integer`;
  const name = `list_${walk}_${tables.hot ? 'hot_' : ''}${tables.history ?? 'none'}_${columns}`;
  return { name, text };
}

const historyParts = { all: '', done: '_done', failed: '_failed' };

interface Arm {
  readonly isHot: boolean;
  /** A select without its condition. */
  readonly text: string;
}

const sources: Readonly<Record<Walk, (arms: readonly Arm[], rowsMax: number) => string>> = {
  // timers_project_id, and history_project_id merged over the partitions.
  newest: (arms, rowsMax) => {
    const inOrder = `t.id < $14::bigint AND t.id >= $15::bigint ORDER BY t.id DESC LIMIT ${rowsMax}`;
    return merged(arms, rowsMax, () => `t.project_id = $1::bigint AND ${inOrder}`);
  },
  // timers_key (one row at the most: asked for in an order, it would come from timers_pkey), and
  // history_key merged over the partitions. The range is one of (key, id): of id alone, it would be
  // sought by history_project_id in partitions that have been seen without keys.
  key: (arms, rowsMax) => {
    const ofKey = 't.project_id = $1::bigint AND t.key = $8::text';
    const inRange =
      '(t.key, t.id) < ($8::text, $14::bigint) AND (t.key, t.id) >= ($8::text, $15::bigint)';
    return merged(
      arms,
      rowsMax,
      (isHot) =>
        `${ofKey} AND ${inRange} ${isHot ? 'LIMIT 1' : `ORDER BY t.id DESC LIMIT ${rowsMax}`}`,
    );
  },
  // timer_labels_pkey, backwards, and for each timers_pkey and then history_project_id of one
  // partition after the other until it is found: 28 µs over 30 days.
  label: (arms, rowsMax) => `
    SELECT l.timer_id AS at, f.* FROM (
      SELECT timer_id FROM belfry.timer_labels
      WHERE project_id = $1::bigint AND label = $5::text
        AND timer_id < $14::bigint AND timer_id >= $15::bigint
      ORDER BY timer_id DESC LIMIT ${rowsMax}
    ) AS l LEFT JOIN LATERAL (
      ${arms.map(({ text }) => `${text} WHERE t.project_id = $1::bigint AND t.id = l.timer_id`).join(' UNION ALL ')}
      LIMIT 1
    ) AS f ON true`,
  // timers_project_next_at, and timers_parked_project for those in lanes.
  soonest: (arms, rowsMax) => {
    const waiting = arms.flatMap(({ text }) =>
      ['IS NULL', 'IS NOT NULL'].map(
        (parked) => `(${text} WHERE t.project_id = $1::bigint AND t.parked_lane ${parked}
        AND t.next_at >= $14::timestamptz AND (t.next_at, t.id) > ($14::timestamptz, $15::bigint)
        ORDER BY t.next_at, t.id LIMIT ${rowsMax})`,
      ),
    );
    return `
    SELECT u.id AS at, u.* FROM (${waiting.join(' UNION ALL ')}) AS u
    ORDER BY u.next_at, u.id LIMIT ${rowsMax}`;
  },
};

function merged(
  arms: readonly Arm[],
  rowsMax: number,
  condition: (isHot: boolean) => string,
): string {
  const limited = arms.map(({ isHot, text }) => `(${text} WHERE ${condition(isHot)})`);
  return `
    SELECT u.id AS at, u.* FROM (${limited.join(' UNION ALL ')}) AS u
    ORDER BY u.id DESC LIMIT ${rowsMax}`;
}
