import type { FastifyReply } from 'fastify';
import { entityTag } from '../../core/entityTag.ts';
import { assertNever, BelfryError } from '../../core/errors.ts';
import { parseTimerId, type TimerId } from '../../core/ids.ts';
import type { Timer, TimerStatus } from '../../core/timer.ts';
import type { CancelResult, EditResult } from '../../core/timerChange.ts';
import { timerBody } from '../timerBody.ts';

/** @throws BelfryError `timer_not_found` for what is no id. */
export function knownId(text: string): TimerId {
  const id = parseTimerId(text);
  if (id === undefined) throw notFound(text);
  return id;
}

export function notFound(id: string | number): BelfryError {
  return new BelfryError('timer_not_found', `there is no timer ${String(id).slice(0, 40)}`);
}

/** The timer, with its version as ETag. */
export function answerTimer(reply: FastifyReply, timer: Timer | undefined, id: TimerId) {
  if (timer === undefined) throw notFound(id);
  reply.header('etag', entityTag(timer.version));
  return timerBody(timer);
}

/**
 * Answers a timer that has just been changed or created. Where it cannot be read back, the caller must
 * not take it that nothing has changed, as `store_unavailable` says.
 */
export async function answerChanged(
  reply: FastifyReply,
  read: () => Promise<Timer | undefined>,
  id: TimerId,
) {
  const timer = await read().catch((err: unknown) => {
    if (!(err instanceof BelfryError) || err.code !== 'store_unavailable') throw err;
    const what = `timer ${id} was changed, but could not be read back`;
    throw new BelfryError('commit_unknown', what, { cause: err });
  });
  return answerTimer(reply, timer, id);
}

/** Throws unless the timer was changed. */
export function assertChanged(result: EditResult, id: TimerId): void {
  if (result.kind === 'not_found') throw notFound(id);
  if (result.kind === 'too_late') throw tooLate(result, id);
}

export function cancelled(result: CancelResult, asked: TimerId | string) {
  switch (result.kind) {
    case 'cancelled':
      return { id: result.id, status: 'cancelled' };
    case 'not_found':
      throw notFound(asked);
    case 'too_late':
      throw tooLate(result, asked);
    default:
      return assertNever(result);
  }
}

function tooLate({ status }: { status: TimerStatus }, id: TimerId | string): BelfryError {
  return new BelfryError('too_late', `timer ${id} is ${status} already`);
}
