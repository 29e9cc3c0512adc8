import type { ClaimedTimer, NewTimer } from '../core/timer.ts';
import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import { booleanArray, byteaArray, numberArray, textArray } from './arrayLiteral.ts';
import { createBatcher, type Batcher } from './batcher.ts';
import { bodyInlineMax, claimedBytes } from './claim.ts';
import { refusal, type Database } from './database.ts';

/** What the caller learns of its timer. Instants in milliseconds of the Unix epoch. */
export interface CreatedTimer {
  readonly id: TimerId;
  readonly dueAtMs: number;
  readonly createdAtMs: number;
}

/**
 * The scheduler of this process, as creation sees it: timers that are due within the look-ahead are
 * inserted already claimed, which saves their claim and makes them fire on time however near.
 */
export interface NearTimers {
  /** Room for up to `rows` timers, or undefined when there is none: then they go unclaimed. */
  reserve(rows: number): Reservation | undefined;
  /** Unclaimed timers were committed, the nearest due then: somebody has to look. */
  committed(nearestDueAtMs: number): void;
}

export interface Reservation {
  readonly owner: number;
  readonly claim: number;
  readonly withinMs: number;
  /** The commit is known: these are claimed by us now. */
  settle(claimed: readonly ClaimedTimer[]): void;
  /** The commit is unknown: rows under this claim may exist. */
  lost(): void;
}

// The insert answers with one instant, from which both sides compute the due instants by the same
// whole-millisecond arithmetic; returning the rows would cost a row a timer.
const createTimers = {
  name: 'create_timers',
  text: `
WITH base AS (
  SELECT date_trunc('milliseconds', statement_timestamp() + interval '999 microseconds') AS at
), inserted AS (
  INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, expires_at, owner, claim,
    append_id, timeout_ms, url, method, headers, body, retry)
  SELECT i.id, i.project_id, d.due_at, d.due_at, base.at,
    d.due_at + i.expires_after_ms * interval '1 millisecond',
    CASE WHEN d.due_at <= base.at + $15::float8 * interval '1 millisecond' THEN $13::bigint END,
    CASE WHEN d.due_at <= base.at + $15::float8 * interval '1 millisecond' THEN $14::bigint END,
    i.append_id, i.timeout_ms, i.url, i.method, i.headers, i.body, i.retry
  FROM base,
    unnest($1::bigint[], $2::bigint[], $3::float8[], $4::float8[], $5::float8[], $6::boolean[],
      $7::integer[], $8::text[], $9::text[], $10::jsonb[], $11::bytea[], $12::jsonb[])
      AS i(id, project_id, delay_ms, due_at_ms, expires_after_ms, append_id, timeout_ms, url,
        method, headers, body, retry),
    LATERAL (SELECT greatest(base.at, CASE WHEN i.due_at_ms IS NULL
      THEN base.at + i.delay_ms * interval '1 millisecond'
      ELSE timestamptz 'epoch' + i.due_at_ms * interval '1 millisecond' END) AS due_at) AS d
)
SELECT (extract(epoch FROM at) * 1000)::bigint FROM base`,
};

const allocateIds = {
  name: 'allocate_ids',
  text: `
SELECT string_agg(id::text, ',')
FROM (SELECT nextval('belfry.timer_id') AS id FROM generate_series(1, $1::integer)) AS ids`,
};

/**
 * Creates timers by group commit: at most 500 rows and 4 MiB a flush, each caller answered after
 * the commit of its own.
 */
export function createTimerCreator(options: {
  database: Database;
  near?: NearTimers;
}): Batcher<NewTimer, CreatedTimer> {
  const { database, near } = options;
  const stock = createIdStock(database);

  async function flush(timers: readonly NewTimer[]): Promise<CreatedTimer[]> {
    const ids = await stock.take(timers.length);
    const reservation = near?.reserve(timers.length);
    let baseMs: number;
    try {
      baseMs = await insert({ database, timers, ids, reservation });
    } catch (err) {
      if (refusal(err) === undefined) reservation?.lost();
      else reservation?.settle([]);
      throw err;
    }
    const claimed: ClaimedTimer[] = [];
    let nearestDueAtMs = Infinity;
    const created = timers.map((timer, index) => {
      const id = ids[index] ?? ids[0];
      if (id === undefined) throw new Error('fewer ids than timers');
      const { due } = timer;
      const dueAtMs = due.kind === 'after' ? baseMs + due.delayMs : Math.max(baseMs, due.dueAtMs);
      if (reservation !== undefined && dueAtMs <= baseMs + reservation.withinMs) {
        claimed.push(claimedTimer({ timer, id, dueAtMs, reservation }));
      } else if (dueAtMs < nearestDueAtMs) nearestDueAtMs = dueAtMs;
      return { id, dueAtMs, createdAtMs: baseMs };
    });
    reservation?.settle(claimed);
    if (nearestDueAtMs < Infinity) near?.committed(nearestDueAtMs);
    return created;
  }

  return createBatcher({
    name: 'creates',
    flush,
    bytesOf: ({ request }) => 300 + request.url.length + (request.body?.length ?? 0) * 2,
    onLoss: 'fail',
  });
}

async function insert(options: {
  database: Database;
  timers: readonly NewTimer[];
  ids: readonly TimerId[];
  reservation: Reservation | undefined;
}): Promise<number> {
  const { database, timers, ids, reservation } = options;
  const json = (value: unknown) => (value === null ? null : JSON.stringify(value));
  const rows = await database.query<[number]>(createTimers, [
    numberArray(ids),
    numberArray(timers.map((timer) => timer.projectId)),
    numberArray(timers.map(({ due }) => (due.kind === 'after' ? due.delayMs : null))),
    numberArray(timers.map(({ due }) => (due.kind === 'at' ? due.dueAtMs : null))),
    numberArray(timers.map((timer) => timer.expiresAfterMs)),
    booleanArray(timers.map((timer) => timer.request.appendId)),
    numberArray(timers.map((timer) => timer.request.timeoutMs)),
    textArray(timers.map((timer) => timer.request.url)),
    textArray(timers.map((timer) => timer.request.method)),
    textArray(timers.map((timer) => json(timer.request.headers))),
    byteaArray(timers.map((timer) => timer.request.body)),
    textArray(timers.map((timer) => json(timer.retry))),
    reservation?.owner ?? null,
    reservation?.claim ?? null,
    reservation?.withinMs ?? -1,
  ]);
  const baseMs = rows[0]?.[0];
  if (baseMs === undefined) throw new Error('create_timers answered no row');
  return baseMs;
}

function claimedTimer(options: {
  timer: NewTimer;
  id: TimerId;
  dueAtMs: number;
  reservation: Reservation;
}): ClaimedTimer {
  const { timer, id, dueAtMs, reservation } = options;
  const bodyDeferred = (timer.request.body?.length ?? 0) > bodyInlineMax;
  const request = bodyDeferred ? { ...timer.request, body: null } : timer.request;
  return {
    id,
    projectId: timer.projectId,
    owner: reservation.owner,
    claim: reservation.claim,
    nextAtMs: dueAtMs,
    expiresAtMs: timer.expiresAfterMs === null ? null : dueAtMs + timer.expiresAfterMs,
    attempts: 0,
    failures: 0,
    lostInRow: 0,
    request,
    bodyDeferred,
    retry: timer.retry,
    bytes: claimedBytes(request),
  };
}

/** Flushes that a full stock serves, and its bound. */
const stockFlushes = 16;
const stockMax = 1_000;

/**
 * Ids are taken from the sequence ahead of the insert, so that a flush whose commit is unknown can
 * be looked for by id. Under load a stock hides the round trip; a lone create fetches just its own.
 * What is in stock when a process ends is a gap in the numbers.
 */
function createIdStock(database: Database): { take(count: number): Promise<TimerId[]> } {
  const stock: TimerId[] = [];
  let refill: Promise<void> | undefined;

  async function fetch(count: number): Promise<TimerId[]> {
    const [row] = await database.query<[string]>(allocateIds, [count]);
    return (row?.[0] ?? '').split(',').map((id) => timerIdFromDatabase(Number(id)));
  }

  async function fill(count: number): Promise<void> {
    try {
      for (const id of await fetch(count)) stock.push(id);
    } catch {
      // Not this caller's: the next take fetches for itself.
    } finally {
      refill = undefined;
    }
  }

  return {
    async take(count) {
      if (stock.length < count) await refill;
      const taken = stock.splice(0, count);
      if (taken.length < count) taken.push(...(await fetch(count - taken.length)));
      const isCrowd = count > 1;
      if (isCrowd && stock.length < 2 * count) {
        refill ??= fill(Math.min(count * stockFlushes, stockMax));
      }
      return taken;
    },
  };
}
