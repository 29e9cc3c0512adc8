import { BelfryError } from '../core/errors.ts';
import type { SecretBox } from '../core/secretBox.ts';
import type { NewTimer, TimerContent } from '../core/timer.ts';
import { createBatcher, type Batcher } from './batcher.ts';
import { createStatementFor } from './createStatement.ts';
import type { Database } from './database.ts';
import { createIdempotencyKeyStore, type AnsweredKey } from './idempotencyKeys.ts';
import { createTimerInserter, type CreatedTimer, type NearTimers } from './insertTimers.ts';

/**
 * Creates timers by group commit: at most 500 rows and 4 MiB a flush, each caller answered after
 * the commit of its own.
 */
export function createTimerCreator(options: {
  database: Database;
  near?: NearTimers;
  /** Without: no timer has secret headers. */
  box?: SecretBox | undefined;
  /** For how long an idempotency key stands for its first request; a day by default. */
  idempotencyWindowMs?: number;
}): Batcher<NewTimer, CreatedTimer> {
  const { database, near, box, idempotencyWindowMs = 86_400_000 } = options;
  const inserter = createTimerInserter({ database, near, box });
  const keys = createIdempotencyKeyStore(database);

  async function flush(timers: readonly NewTimer[]): Promise<(CreatedTimer | BelfryError)[]> {
    if (!timers.some(hasKey)) {
      const inserted = await inserter.insert(createStatementFor(timers), timers);
      return inserted.filter((timer) => timer !== undefined);
    }
    const firsts = firstOfEachKey(timers);
    const inserted = await inserter.insert(createStatementFor(firsts), firsts, [
      idempotencyWindowMs,
    ]);
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

  return createBatcher({
    name: 'creates',
    flush,
    bytesOf: contentBytes,
    onLoss: 'fail',
  });
}

/**
 * What was answered before under the key of this one; undefined when nothing was, or it has none.
 * @throws BelfryError `idempotency_key_reused`.
 */
export async function replayOf(
  database: Database,
  timer: NewTimer,
): Promise<CreatedTimer | undefined> {
  const { projectId, idempotencyKey } = timer;
  if (idempotencyKey === null) return undefined;
  const found = await createIdempotencyKeyStore(database).read([
    { projectId, key: idempotencyKey.key },
  ]);
  if (found.length === 0) return undefined;
  const answered = new Map(found.map((answer) => [keyText(projectId, answer.key), answer]));
  const answer = answerAgain(timer, answered);
  if (answer instanceof BelfryError) throw answer;
  return answer;
}

/** About what a timer takes on its way to the database; bytes travel as two digits each. */
export function contentBytes({ request, labels, metadata }: TimerContent): number {
  const { url, headers, body } = request;
  const isBare = headers === null && labels === null && metadata === null;
  const extrasLength = isBare ? 0 : JSON.stringify([headers, labels, metadata]).length;
  return 300 + url.length + (body?.length ?? 0) * 2 + extrasLength;
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
