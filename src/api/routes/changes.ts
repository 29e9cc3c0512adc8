import type { FastifyInstance } from 'fastify';
import { parseDue, type Due, type DueFields } from '../../core/due.ts';
import { parseIfMatch } from '../../core/entityTag.ts';
import { BelfryError } from '../../core/errors.ts';
import type { TimerId } from '../../core/ids.ts';
import type { Timer, TimerStatus } from '../../core/timer.ts';
import type { CreateTimerFields, NewTimerRules } from '../newTimer.ts';
import { EmptyBody, PatchTimerBody, RetryTimerBody, TimerBody } from '../schemas.ts';
import { parseTimerPatch, type TimerEdit } from '../timerPatch.ts';
import { answerTimer, assertChanged, knownId, notFound, type EditResult } from './answers.ts';
import { headerOf, optionalBody, projectId } from './request.ts';

/** What changing timers needs of the rest of the service. */
export interface ChangeService {
  read(projectId: number, id: TimerId): Promise<Timer | undefined>;
  update(
    projectId: number,
    id: TimerId,
    edit: (timer: Timer) => TimerEdit,
    ifVersion: number | null,
  ): Promise<EditResult>;
  fire(projectId: number, id: TimerId): Promise<EditResult>;
  retry(
    projectId: number,
    id: TimerId,
    due: Due,
  ): Promise<
    | { readonly kind: 'retried' }
    | { readonly kind: 'not_retryable'; readonly status: TimerStatus }
    | { readonly kind: 'not_found' }
  >;
  readonly rules: NewTimerRules;
}

/** What is answered with 2xx is final: nothing of the timer as it was before starts any more. */
export function changeRoutes(server: FastifyInstance, service: ChangeService): void {
  const { rules } = service;

  server.patch<{ Params: { id: string }; Body: CreateTimerFields }>(
    '/timers/:id',
    { schema: { body: PatchTimerBody, response: { 200: TimerBody } } },
    async (req, reply) => {
      const id = knownId(req.params.id);
      const ifVersion = parseIfMatch(headerOf(req.headers['if-match']));
      const edit = parseTimerPatch(req.body, rules);
      assertChanged(await service.update(projectId, id, edit, ifVersion), id);
      return answerTimer(reply, await service.read(projectId, id), id);
    },
  );

  server.post<{ Params: { id: string } }>(
    '/timers/:id/fire',
    { preValidation: optionalBody, schema: { body: EmptyBody, response: { 200: TimerBody } } },
    async (req, reply) => {
      const id = knownId(req.params.id);
      assertChanged(await service.fire(projectId, id), id);
      return answerTimer(reply, await service.read(projectId, id), id);
    },
  );

  server.post<{ Params: { id: string }; Body: DueFields }>(
    '/timers/:id/retry',
    { preValidation: optionalBody, schema: { body: RetryTimerBody, response: { 200: TimerBody } } },
    async (req, reply) => {
      const id = knownId(req.params.id);
      const result = await service.retry(projectId, id, parseDue(req.body, rules.nowMs()));
      if (result.kind === 'not_found') throw notFound(id);
      if (result.kind === 'not_retryable') {
        throw new BelfryError('not_retryable', `timer ${id} is ${result.status}`);
      }
      return answerTimer(reply, await service.read(projectId, id), id);
    },
  );
}
