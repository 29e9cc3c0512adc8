import { SecretHeader, type TimerHeaders } from '../core/secretHeaders.ts';
import type { NewTimer, TimerContent } from '../core/timer.ts';
import { booleanArray, byteaArray, numberArray, textArray } from './arrayLiteral.ts';
import type { Statement } from './database.ts';

/** What travels of every timer in a flush, as one array. */
interface Column<Timer = NewTimer> {
  readonly name: string;
  readonly type: string;
  /** Goes into the table's column of that name; the others only serve to compute instants. */
  readonly stored: boolean;
  /** What is stored, where it is not the value itself. */
  readonly expression?: string;
  readonly encode: (timers: readonly Timer[]) => string;
}

const json = (value: unknown) => (value === null ? null : JSON.stringify(value));

/** @throws Error for a secret that is not encrypted: there it would be lost, and here it would be kept. */
function headersJson(headers: TimerHeaders | null): string | null {
  for (const name in headers) {
    if (headers[name] instanceof SecretHeader) throw new Error('a secret header is not encrypted');
  }
  return json(headers);
}

/** Under which key a timer was asked for: kept apart from it. */
const keyColumns: readonly Column[] = [
  {
    name: 'idempotency_key',
    type: 'text',
    stored: false,
    encode: (timers) => textArray(timers.map(({ idempotencyKey }) => idempotencyKey?.key ?? null)),
  },
  {
    name: 'fingerprint',
    type: 'bytea',
    stored: false,
    encode: (timers) =>
      byteaArray(timers.map(({ idempotencyKey }) => idempotencyKey?.fingerprint ?? null)),
  },
];

/** Under which name a timer is the one live timer of its project. */
const nameColumn: Column = {
  name: 'key',
  type: 'text',
  stored: true,
  encode: (timers) => textArray(timers.map((timer) => timer.key)),
};

const placeColumns: readonly Column[] = [
  {
    name: 'project_id',
    type: 'bigint',
    stored: true,
    encode: (timers) => numberArray(timers.map((timer) => timer.projectId)),
  },
  {
    name: 'delay_ms',
    type: 'float8',
    stored: false,
    encode: (timers) =>
      numberArray(timers.map(({ due }) => (due.kind === 'after' ? due.delayMs : null))),
  },
  {
    name: 'due_at_ms',
    type: 'float8',
    stored: false,
    encode: (timers) =>
      numberArray(timers.map(({ due }) => (due.kind === 'at' ? due.dueAtMs : null))),
  },
];

const plainContent: readonly Column<TimerContent>[] = [
  {
    name: 'append_id',
    type: 'boolean',
    stored: true,
    encode: (timers) => booleanArray(timers.map(({ request }) => request.appendId)),
  },
  {
    name: 'url',
    type: 'text',
    stored: true,
    encode: (timers) => textArray(timers.map(({ request }) => request.url)),
  },
];

const otherContent: readonly Column<TimerContent>[] = [
  {
    name: 'expires_after_ms',
    type: 'float8',
    stored: false,
    encode: (timers) => numberArray(timers.map((timer) => timer.expiresAfterMs)),
  },
  {
    name: 'timeout_ms',
    type: 'integer',
    stored: true,
    encode: (timers) => numberArray(timers.map(({ request }) => request.timeoutMs)),
  },
  {
    name: 'method',
    type: 'text',
    stored: true,
    encode: (timers) => textArray(timers.map(({ request }) => request.method)),
  },
  {
    name: 'headers',
    type: 'jsonb',
    stored: true,
    encode: (timers) => textArray(timers.map(({ request }) => headersJson(request.headers))),
  },
  {
    name: 'body',
    type: 'bytea',
    stored: true,
    encode: (timers) => byteaArray(timers.map(({ request }) => request.body)),
  },
  {
    name: 'retry',
    type: 'jsonb',
    stored: true,
    encode: (timers) => textArray(timers.map((timer) => json(timer.retry))),
  },
  {
    name: 'metadata',
    type: 'jsonb',
    stored: true,
    encode: (timers) => textArray(timers.map((timer) => json(timer.metadata))),
  },
];

/** Apart, because each of them gets a row of its own besides. */
const labelContent: readonly Column<TimerContent>[] = [
  {
    name: 'labels',
    type: 'jsonb',
    stored: true,
    // Arrays of different lengths do not fit into one array.
    expression:
      'CASE WHEN i.labels IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(i.labels)) END',
    encode: (timers) => textArray(timers.map((timer) => json(timer.labels))),
  },
];

/** All that a caller says of a timer, apart from when it is due. */
export const contentColumns: readonly Column<TimerContent>[] = [
  ...plainContent,
  ...otherContent,
  ...labelContent,
];

export interface CreateStatement {
  readonly statement: Statement;
  /** The arrays that travel, from $5 on; behind them what is particular to the statement. */
  readonly columns: readonly Column[];
  /** Some may be left out: the ids of those that are in are answered. */
  readonly isConditional: boolean;
}

/**
 * The insert answers with one instant, from which both sides compute the due instants by the same
 * whole-millisecond arithmetic (returning the rows would cost a row a timer), and with whether near
 * timers were claimed: not for an owner that was declared dead meanwhile.
 *
 * With keys, a timer is inserted only if its key was free (or its window is over): a key that another
 * transaction is about to take is waited for.
 *
 * With names, a timer is inserted only if no live timer of its project has its name once those of
 * the timers in the last parameter are taken from them.
 *
 * With labels, those of the timers really inserted become rows by which they are listed.
 */
function createStatement(name: string, columns: readonly Column[]): CreateStatement {
  const stored = columns.filter((column) => column.stored);
  const hasExpiry = columns.some(({ name }) => name === 'expires_after_ms');
  const isKeyed = columns.some(({ name }) => name === 'idempotency_key');
  const isNamed = columns.includes(nameColumn);
  const isConditional = isKeyed || isNamed;
  const isLabelled = columns.some(({ name }) => name === 'labels');
  const into = ['id', ...stored.map(({ name }) => name), ...(hasExpiry ? ['expires_at'] : [])];
  const from = ['i.id', ...stored.map(({ name, expression }) => expression ?? `i.${name}`)];
  const expiry = "d.due_at + i.expires_after_ms * interval '1 millisecond'";
  const arrays = columns.map(({ type }, index) => `$${index + 5}::${type}[]`);
  const arrayOf = (wanted: string) => arrays[columns.findIndex(({ name }) => name === wanted)];
  const near = "base.owner_lives AND d.due_at <= base.at + $3::float8 * interval '1 millisecond'";
  const rows = `FROM base,
    unnest($4::bigint[], ${arrays.join(', ')}) AS i(id, ${columns.map((c) => c.name).join(', ')}),
    LATERAL (SELECT greatest(base.at, CASE WHEN i.due_at_ms IS NULL
      THEN base.at + i.delay_ms * interval '1 millisecond'
      ELSE timestamptz 'epoch' + i.due_at_ms * interval '1 millisecond' END) AS due_at) AS d
  `;
  // In the order of keys, so that two flushes never wait for each other crosswise.
  const won = `won AS (
  INSERT INTO belfry.idempotency_keys AS k
    (project_id, key, fingerprint, timer_id, due_at, created_at)
  SELECT i.project_id, i.idempotency_key, i.fingerprint, i.id, d.due_at, base.at
  ${rows}WHERE i.idempotency_key IS NOT NULL ORDER BY i.project_id, i.idempotency_key
  ON CONFLICT (project_id, key) DO UPDATE SET fingerprint = excluded.fingerprint,
    timer_id = excluded.timer_id, due_at = excluded.due_at, created_at = excluded.created_at
    WHERE k.created_at <= excluded.created_at
      - $${columns.length + 5}::float8 * interval '1 millisecond'
  RETURNING k.timer_id
), `;
  // Only while it is being delivered: one that waits (again) would fire beside the new one, although it
  // can be replaced in place. The insert waits for it by counting it.
  const freed = `freed AS (
  UPDATE belfry.timers t SET key = NULL
  FROM base, unnest($${columns.length + 5}::bigint[], ${arrayOf('key')}, ${arrayOf('project_id')})
    AS i(id, key, project_id)
  WHERE t.id = ANY ($${columns.length + 5}::bigint[])
    AND t.id + 0 = i.id AND t.project_id + 0 = i.project_id AND t.key = i.key
    AND t.owner IS NOT NULL AND t.next_at <= base.at
  RETURNING t.id
), `;
  const labelRows = `, labelled AS (
  INSERT INTO belfry.timer_labels (project_id, label, timer_id)
  SELECT project_id, label, id FROM inserted, unnest(labels) AS label
)`;
  const text = `
WITH base AS (
  SELECT date_trunc('milliseconds', statement_timestamp() + interval '999 microseconds') AS at,
    EXISTS (SELECT 1 FROM belfry.processes WHERE id = $1::bigint AND NOT dead) AS owner_lives
), ${isKeyed ? won : ''}${isNamed ? freed : ''}inserted AS (
  INSERT INTO belfry.timers (next_at, due_at, created_at, owner, claim, ${into.join(', ')})
  SELECT d.due_at, d.due_at, base.at,
    CASE WHEN ${near} THEN $1::bigint END, CASE WHEN ${near} THEN $2::bigint END,
    ${[...from, ...(hasExpiry ? [expiry] : [])].join(', ')}
  ${rows}${isKeyed ? 'WHERE i.idempotency_key IS NULL OR i.id IN (SELECT timer_id FROM won)' : ''}
  ${isNamed ? 'WHERE (SELECT count(*) FROM freed) >= 0 ORDER BY i.project_id, i.key' : ''}
  ${isNamed ? 'ON CONFLICT (project_id, key) WHERE key IS NOT NULL DO NOTHING' : ''}
  ${isConditional || isLabelled ? 'RETURNING id, project_id, labels' : ''}
)${isLabelled ? labelRows : ''}
SELECT (extract(epoch FROM at) * 1000)::bigint, owner_lives,
  ${isConditional ? "(SELECT string_agg(id::text, ',') FROM inserted)" : 'NULL'} FROM base`;
  return { statement: { name, text }, columns, isConditional };
}

/** For timers that say no more than where and when, as most do: half the arrays. */
const plain = createStatement('create_timers', [...placeColumns, ...plainContent]);
const fullColumns = [...placeColumns, ...plainContent, ...otherContent];
const full = createStatement('create_full_timers', fullColumns);
const labelledColumns = [...fullColumns, ...labelContent];
const labelled = createStatement('create_labelled_timers', labelledColumns);
/** For flushes in which some have an idempotency key; after the columns, the window in ms. */
const keyed = createStatement('create_keyed_timers', [...fullColumns, ...keyColumns]);
const keyedAndLabelled = createStatement('create_keyed_labelled_timers', [
  ...labelledColumns,
  ...keyColumns,
]);

/** For timers by name; after the columns, the timers whose names they take over (null for none). */
export const createNamed = createStatement('create_named_timers', [...labelledColumns, nameColumn]);

/** The least that keeps all that these, which have no names, say. */
export function createStatementFor(timers: readonly NewTimer[]): CreateStatement {
  const hasLabels = timers.some((timer) => timer.labels !== null);
  if (timers.some(({ idempotencyKey }) => idempotencyKey !== null)) {
    return hasLabels ? keyedAndLabelled : keyed;
  }
  if (hasLabels) return labelled;
  return timers.every(isPlain) ? plain : full;
}

function isPlain({ request, retry, metadata, expiresAfterMs }: NewTimer): boolean {
  const { timeoutMs, method, headers, body } = request;
  return (
    method === 'POST' &&
    expiresAfterMs === null &&
    timeoutMs === null &&
    headers === null &&
    body === null &&
    retry === null &&
    metadata === null
  );
}
