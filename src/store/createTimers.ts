import { BelfryError } from '../core/errors.ts';
import type { ClaimedTimer, NewTimer } from '../core/timer.ts';
import type { TimerId } from '../core/ids.ts';
import { numberArray } from './arrayLiteral.ts';
import { createBatcher, type Batcher } from './batcher.ts';
import { bodyInlineMax, claimedBytes } from './claim.ts';
import { createStatementFor } from './createStatement.ts';
import { refusal, type Database } from './database.ts';
import { createIdempotencyKeyStore, type AnsweredKey } from './idempotencyKeys.ts';
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

/**
 * Creates timers by group commit: at most 500 rows and 4 MiB a flush, each caller answered after
 * the commit of its own.
 */
export function createTimerCreator(options: {
  database: Database;
  near?: NearTimers;
  /** For how long an idempotency key stands for its first request; a day by default. */
  idempotencyWindowMs?: number;
}): Batcher<NewTimer, CreatedTimer> {
  const { database, near, idempotencyWindowMs = 86_400_000 } = options;
  const stock = createIdStock(database);
  const keys = createIdempotencyKeyStore(database);

  async function flush(timers: readonly NewTimer[]): Promise<(CreatedTimer | BelfryError)[]> {
    if (!timers.some(hasKey))
      return (await insertAll(timers)).filter((timer) => timer !== undefined);
    const firsts = firstOfEachKey(timers);
    const inserted = await insertAll(firsts);
    const created = new Map(firsts.map((timer, index) => [timer, inserted[index]] as const));
    const answered = await answersOf(timers.filter((timer) => created.get(timer) === undefined));
    return timers.map((timer) => created.get(timer) ?? answerAgain(timer, answered));
  }

  /** What was answered under the keys of these. The others of the flush are committed, come what may. */
  async function answersOf(
    timers: readonly NewTimer[],
  ): Promise<ReadonlyMap<string, AnsweredKey> | BelfryError> {
    if (timers.length === 0) return new Map();
    try {
      const found = await keys.read(
        timers.map(({ projectId, idempotencyKey }) => ({
          projectId,
          key: idempotencyKey?.key ?? '',
        })),
      );
      return new Map(found.map((answer) => [keyText(answer.projectId, answer.key), answer]));
    } catch (err) {
      return err instanceof BelfryError
        ? err
        : new BelfryError('internal', 'idempotency keys could not be read', { cause: err });
    }
  }

  /** Undefined for a timer whose key was taken already. */
  async function insertAll(timers: readonly NewTimer[]): Promise<(CreatedTimer | undefined)[]> {
    const ids = await stock.take(timers.length);
    const reservation = near?.reserve(timers.length);
    let inserted: Inserted;
    try {
      inserted = await insert({ database, timers, ids, reservation, idempotencyWindowMs });
    } catch (err) {
      if (refusal(err) === undefined) reservation?.lost();
      else reservation?.settle([]);
      throw err;
    }
    const { baseMs, isClaimed, won } = inserted;
    const claimed: ClaimedTimer[] = [];
    let nearestDueAtMs = Infinity;
    const created = timers.map((timer, index) => {
      const id = ids[index];
      if (id === undefined) throw new Error('fewer ids than timers');
      if (hasKey(timer) && !won.has(id)) return undefined;
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

interface Inserted {
  readonly baseMs: number;
  readonly isClaimed: boolean;
  /** Of the timers with a key, those whose key was free. */
  readonly won: ReadonlySet<number>;
}

function hasKey({ idempotencyKey }: NewTimer): boolean {
  return idempotencyKey !== null;
}

/** One statement cannot meet the same key twice. */
function firstOfEachKey(timers: readonly NewTimer[]): readonly NewTimer[] {
  const seen = new Set<string>();
  return timers.filter(({ projectId, idempotencyKey }) => {
    if (idempotencyKey === null) return true;
    const text = keyText(projectId, idempotencyKey.key);
    if (seen.has(text)) return false;
    seen.add(text);
    return true;
  });
}

function keyText(projectId: number, key: string): string {
  return `${projectId} ${key}`;
}

function answerAgain(
  { projectId, idempotencyKey }: NewTimer,
  answered: ReadonlyMap<string, AnsweredKey> | BelfryError,
): CreatedTimer | BelfryError {
  if (answered instanceof BelfryError) return answered;
  const key = idempotencyKey?.key ?? '';
  const before = answered.get(keyText(projectId, key));
  if (before === undefined) {
    return new BelfryError('internal', `idempotency key ${key} was taken and is not there`);
  }
  if (idempotencyKey?.fingerprint.equals(before.fingerprint) !== true) {
    return new BelfryError(
      'idempotency_key_reused',
      `Idempotency-Key ${key} was used for another request, which created timer ${before.id}`,
    );
  }
  const { id, dueAtMs, createdAtMs } = before;
  return { id, dueAtMs, createdAtMs, isReplay: true };
}

async function insert(options: {
  database: Database;
  timers: readonly NewTimer[];
  ids: readonly TimerId[];
  reservation: Reservation | undefined;
  idempotencyWindowMs: number;
}): Promise<Inserted> {
  const { database, timers, ids, reservation, idempotencyWindowMs } = options;
  const { statement, columns, isKeyed } = createStatementFor(timers);
  const rows = await database.query<[number, boolean, string | null]>(statement, [
    reservation?.owner ?? null,
    reservation?.claim ?? null,
    reservation?.withinMs ?? -1,
    numberArray(ids),
    ...columns.map(({ encode }) => encode(timers)),
    ...(isKeyed ? [idempotencyWindowMs] : []),
  ]);
  const [row] = rows;
  if (row === undefined) throw new Error(`${statement.name} answered no row`);
  const won = row[2] === null ? [] : row[2].split(',').map(Number);
  return { baseMs: row[0], isClaimed: row[1], won: new Set(won) };
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
