import { randomInt } from 'node:crypto';
import type { AttemptRecord } from '../../src/core/attempt.ts';
import type { TimerId } from '../../src/core/ids.ts';
import type { ClaimedTimer, NewTimer, TimerRequest } from '../../src/core/timer.ts';
import { createClaimStore } from '../../src/store/claim.ts';
import type { Claimed, Floor } from '../../src/store/claimedRows.ts';
import { createTimerCreator } from '../../src/store/createTimers.ts';
import type { Database } from '../../src/store/database.ts';
import { createProcessStore } from '../../src/store/processes.ts';
import { sql } from './database.ts';

/** Before every timer. */
export const fromStart: Floor = { nextAtMs: -Infinity, id: 0 };

export function randomToken(): number {
  return randomInt(1, 2 ** 48 - 1);
}

/** A timer to be created: due now, POST to nowhere, unless said otherwise. */
export function newTimer(
  options: {
    delayMs?: number;
    request?: Partial<TimerRequest>;
  } & Partial<Omit<NewTimer, 'request'>> = {},
): NewTimer {
  const { delayMs = 0, request, ...rest } = options;
  return {
    projectId: 1,
    due: { kind: 'after', delayMs },
    expiresAfterMs: null,
    retry: null,
    labels: null,
    metadata: null,
    key: null,
    idempotencyKey: null,
    ...rest,
    request: {
      url: 'http://127.0.0.1:9/x',
      method: 'POST',
      headers: null,
      body: null,
      appendId: true,
      timeoutMs: null,
      ...request,
    },
  };
}

/** Creates timers as the service does; resolves with their ids in order. */
export async function insertTimers(
  database: Database,
  timers: readonly NewTimer[],
): Promise<TimerId[]> {
  const creator = createTimerCreator({ database });
  const created = await Promise.all(timers.map((timer) => creator.add(timer)));
  return created.map(({ id }) => id);
}

/** Many plain timers by one statement, `dueInMs` an expression of `n` (1, 2, …). */
export async function insertMany(
  database: Database,
  options: {
    count: number;
    dueInMs: string;
    url?: string;
    expiresInMs?: string;
    projectId?: number;
  },
): Promise<void> {
  const {
    count,
    dueInMs,
    url = 'http://127.0.0.1:9/x',
    expiresInMs = 'NULL',
    projectId = 1,
  } = options;
  await sql(
    database,
    `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, expires_at, url)
     SELECT nextval('belfry.timer_id'), $3, due_at, due_at, base.at,
       base.at + (${expiresInMs})::float8 * interval '1 millisecond', $2
     FROM (SELECT date_trunc('milliseconds', clock_timestamp()) AS at) AS base,
       generate_series(1, $1::integer) AS n,
       LATERAL (SELECT base.at + (${dueInMs})::float8 * interval '1 millisecond' AS due_at) AS d`,
    [count, url, projectId],
  );
}

/** A process as the store sees it. */
export interface Owner {
  readonly id: number;
  claimAhead(options?: {
    floor?: Floor;
    rowsMax?: number;
    lookAheadMs?: number;
    lanes?: readonly number[];
  }): Promise<Claimed>;
  sweep(options?: {
    floor?: Floor;
    rowsMax?: number;
    lookAheadMs?: number;
    lanes?: readonly number[];
    lostClaims?: readonly number[];
  }): Promise<Claimed>;
  /** Lets its heartbeat lapse, so long ago, and has it declared dead. */
  die(lapsedMs?: number): Promise<void>;
}

export async function registerOwner(database: Database, ttlMs = 60_000): Promise<Owner> {
  const id = randomToken();
  const store = createClaimStore(database);
  const processes = createProcessStore(database);
  await processes.register(id, ttlMs);
  const defaults = { floor: fromStart, rowsMax: 500, lookAheadMs: 1_000, lanes: [] };
  return {
    id,
    claimAhead: (options = {}) =>
      store.claimAhead({ ...defaults, ...options, owner: id, claim: randomToken() }),
    sweep: (options = {}) =>
      store.sweep({ ...defaults, lostClaims: [], ...options, owner: id, claim: randomToken() }),
    async die(lapsedMs = 0) {
      await sql(
        database,
        `UPDATE belfry.processes
         SET expires_at = clock_timestamp() - $2::float8 * interval '1 millisecond' WHERE id = $1`,
        [id, lapsedMs],
      );
      await processes.declareDead();
    },
  };
}

/** The claimed timers' ids, ascending. */
export function idsOf({ timers }: Claimed): number[] {
  return timers.map(({ id }) => id).toSorted((a, b) => a - b);
}

export function only(claimed: Claimed): ClaimedTimer {
  const [timer] = claimed.timers;
  if (timer === undefined || claimed.timers.length > 1) {
    throw new Error(`${claimed.timers.length} timers were claimed, not one`);
  }
  return timer;
}

/** An attempt that came to this status. */
export function attemptOf(status: number): AttemptRecord {
  const isSuccess = status >= 200 && status < 300;
  return {
    startedAtMs: Date.now(),
    latenessMs: 1.25,
    durationMs: 2.5,
    status,
    errorCode: isSuccess ? null : 'http_status',
  };
}

export type Row = Readonly<Record<string, unknown>>;

/** Everything that the database holds about a timer, raw. */
export async function storedAs(
  database: Database,
  id: number,
): Promise<{ hot: Row | undefined; history: readonly Row[]; attempts: readonly Row[] }> {
  const [row] = await sql<[Row | null, Row[] | null, Row[] | null]>(
    database,
    `SELECT (SELECT row_to_json(t) FROM belfry.timers t WHERE id = $1),
       (SELECT json_agg(h) FROM belfry.history h WHERE id = $1),
       (SELECT json_agg(a ORDER BY number) FROM belfry.attempts a WHERE timer_id = $1)`,
    [id],
  );
  const [hot, history, attempts] = row ?? [null, null, null];
  return { hot: hot ?? undefined, history: history ?? [], attempts: attempts ?? [] };
}
