import type { TimerId } from '../core/ids.ts';
import type { SecretBox } from '../core/secretBox.ts';
import { sealHeaders } from '../core/secretHeaders.ts';
import type { ClaimedTimer, NewTimer } from '../core/timer.ts';
import { numberArray } from './arrayLiteral.ts';
import { bodyInlineMax, claimedBytes } from './claimedRows.ts';
import type { CreateStatement } from './createStatement.ts';
import { refusal, type Database } from './database.ts';
import { createIdStock } from './idStock.ts';

/** What the caller learns of its timer. Instants in milliseconds of the Unix epoch. */
export interface CreatedTimer {
  readonly id: TimerId;
  readonly dueAtMs: number;
  readonly createdAtMs: number;
  /** It had been created before, under the same idempotency key. */
  readonly isReplay: boolean;
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

/** Inserts the timers by one statement; undefined for those whose key was not free. */
export interface TimerInserter {
  insert(
    create: CreateStatement,
    timers: readonly NewTimer[],
    more?: readonly unknown[],
  ): Promise<(CreatedTimer | undefined)[]>;
}

export function createTimerInserter(options: {
  database: Database;
  near: NearTimers | undefined;
  /** Undefined where the service has no keys: then no timer comes with secret headers. */
  box: SecretBox | undefined;
}): TimerInserter {
  const { database, near, box } = options;
  const stock = createIdStock(database);

  return {
    async insert(create, given, more = []) {
      const ids = await stock.take(given.length);
      const timers = sealTimers(given, ids, box);
      const reservation = near?.reserve(timers.length);
      let inserted: Inserted;
      try {
        inserted = await run({ database, create, timers, ids, reservation, more });
      } catch (err) {
        if (refusal(err) === undefined) reservation?.lost();
        else reservation?.settle([]);
        throw err;
      }
      const { baseMs, isClaimed, isIn } = inserted;
      const claimed: ClaimedTimer[] = [];
      let nearestDueAtMs = Infinity;
      const created = timers.map((timer, index) => {
        const id = ids[index];
        if (id === undefined) throw new Error('fewer ids than timers');
        if (!isIn(id)) return undefined;
        const { due } = timer;
        const dueAtMs = due.kind === 'after' ? baseMs + due.delayMs : Math.max(baseMs, due.dueAtMs);
        if (isClaimed && reservation !== undefined && dueAtMs <= baseMs + reservation.withinMs) {
          claimed.push(claimedTimer({ timer, id, dueAtMs, reservation }));
        } else if (dueAtMs < nearestDueAtMs) nearestDueAtMs = dueAtMs;
        return { id, dueAtMs, createdAtMs: baseMs, isReplay: false };
      });
      reservation?.settle(claimed);
      if (nearestDueAtMs < Infinity) near?.committed(nearestDueAtMs, nearestDueAtMs - baseMs);
      return created;
    },
  };
}

/** Secret headers are encrypted for the timer that they belong to, whose id is known only here. */
function sealTimers(
  timers: readonly NewTimer[],
  ids: readonly TimerId[],
  box: SecretBox | undefined,
): readonly NewTimer[] {
  if (timers.every(({ request }) => request.headers === null)) return timers;
  return timers.map((timer, index) => {
    const { projectId, request } = timer;
    const headers = sealHeaders(request.headers, { projectId, id: ids[index] ?? 0 }, box);
    return headers === request.headers ? timer : { ...timer, request: { ...request, headers } };
  });
}

interface Inserted {
  readonly baseMs: number;
  readonly isClaimed: boolean;
  readonly isIn: (id: number) => boolean;
}

async function run(options: {
  database: Database;
  create: CreateStatement;
  timers: readonly NewTimer[];
  ids: readonly TimerId[];
  reservation: Reservation | undefined;
  more: readonly unknown[];
}): Promise<Inserted> {
  const { database, create, timers, ids, reservation, more } = options;
  const { statement, columns, isConditional } = create;
  const rows = await database.query<[number, boolean, string | null]>(statement, [
    reservation?.owner ?? null,
    reservation?.claim ?? null,
    reservation?.withinMs ?? -1,
    numberArray(ids),
    ...columns.map(({ encode }) => encode(timers)),
    ...more,
  ]);
  const [row] = rows;
  if (row === undefined) throw new Error(`${statement.name} answered no row`);
  const [baseMs, isClaimed, insertedIds] = row;
  if (!isConditional) return { baseMs, isClaimed, isIn: () => true };
  const inserted = new Set(insertedIds?.split(',').map(Number));
  return { baseMs, isClaimed, isIn: (id) => inserted.has(id) };
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
