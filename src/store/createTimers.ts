import type { ClaimedTimer, NewTimer } from '../core/timer.ts';
import type { TimerId } from '../core/ids.ts';
import { numberArray } from './arrayLiteral.ts';
import { createBatcher, type Batcher } from './batcher.ts';
import { bodyInlineMax, claimedBytes } from './claim.ts';
import { createAny, createPlain, isPlain } from './createStatement.ts';
import { refusal, type Database } from './database.ts';
import { createIdStock } from './idStock.ts';

/** What the caller learns of its timer. Instants in milliseconds of the Unix epoch. */
export interface CreatedTimer {
  readonly id: TimerId;
  readonly dueAtMs: number;
  readonly createdAtMs: number;
}

/**
 * The scheduler of this process, as creation sees it: timers that are due within twice the look-ahead
 * are inserted already claimed, which saves their claim and makes them fire on time however near.
 */
export interface NearTimers {
  /** Room for up to `rows` timers, or undefined when there is none: then they go unclaimed. */
  reserve(rows: number): Reservation | undefined;
  /** Unclaimed timers were committed, the nearest due then: somebody has to look. */
  committed(nearestDueAtMs: number, nearestDueInMs: number): void;
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
    let inserted: { baseMs: number; isClaimed: boolean };
    try {
      inserted = await insert({ database, timers, ids, reservation });
    } catch (err) {
      if (refusal(err) === undefined) reservation?.lost();
      else reservation?.settle([]);
      throw err;
    }
    const { baseMs, isClaimed } = inserted;
    const claimed: ClaimedTimer[] = [];
    let nearestDueAtMs = Infinity;
    const created = timers.map((timer, index) => {
      const id = ids[index];
      if (id === undefined) throw new Error('fewer ids than timers');
      const { due } = timer;
      const dueAtMs = due.kind === 'after' ? baseMs + due.delayMs : Math.max(baseMs, due.dueAtMs);
      if (isClaimed && reservation !== undefined && dueAtMs <= baseMs + reservation.withinMs) {
        claimed.push(claimedTimer({ timer, id, dueAtMs, reservation }));
      } else if (dueAtMs < nearestDueAtMs) nearestDueAtMs = dueAtMs;
      return { id, dueAtMs, createdAtMs: baseMs };
    });
    reservation?.settle(claimed);
    if (nearestDueAtMs < Infinity) near?.committed(nearestDueAtMs, nearestDueAtMs - baseMs);
    return created;
  }

  return createBatcher({
    name: 'creates',
    flush,
    bytesOf,
    onLoss: 'fail',
  });
}

/** About what a timer takes on its way to the database; bytes travel as two digits each. */
function bytesOf({ request, labels, metadata }: NewTimer): number {
  const { url, headers, body } = request;
  const isBare = headers === null && labels === null && metadata === null;
  const extrasLength = isBare ? 0 : JSON.stringify([headers, labels, metadata]).length;
  return 300 + url.length + (body?.length ?? 0) * 2 + extrasLength;
}

async function insert(options: {
  database: Database;
  timers: readonly NewTimer[];
  ids: readonly TimerId[];
  reservation: Reservation | undefined;
}): Promise<{ baseMs: number; isClaimed: boolean }> {
  const { database, timers, ids, reservation } = options;
  const { statement, columns } = timers.every(isPlain) ? createPlain : createAny;
  const rows = await database.query<[number, boolean]>(statement, [
    reservation?.owner ?? null,
    reservation?.claim ?? null,
    reservation?.withinMs ?? -1,
    numberArray(ids),
    ...columns.map(({ encode }) => encode(timers)),
  ]);
  const [row] = rows;
  if (row === undefined) throw new Error(`${statement.name} answered no row`);
  return { baseMs: row[0], isClaimed: row[1] };
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
    dueAtMs,
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
