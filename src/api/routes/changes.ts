import type { FastifyInstance } from 'fastify';
import { parseDue, type Due, type DueFields } from '../../core/due.ts';
import { parseIfMatch } from '../../core/entityTag.ts';
import { BelfryError, type ErrorCode } from '../../core/errors.ts';
import type { TimerId } from '../../core/ids.ts';
import type { Timer } from '../../core/timer.ts';
import type { CreateTimerFields, NewTimerRules } from '../newTimer.ts';
import { described } from '../openapi/operation.ts';
import { assertSecretsKnown, type KnownSecrets } from '../secretUses.ts';
import { TimerBody } from '../schemas/timer.ts';
import { NothingBody, PatchTimerBody, RetryTimerBody } from '../schemas/timerChange.ts';
import { parseTimerPatch } from '../timerPatch.ts';
import type { EditResult, RetryResult, TimerEdit } from '../../core/timerChange.ts';
import { answerChanged, assertChanged, knownId, notFound } from './answers.ts';
import { entityTagHeader, ifMatchHeader, timerIdPath } from './parameters.ts';
import { headerOf, optionalBody } from './request.ts';

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
  retry(projectId: number, id: TimerId, due: Due): Promise<RetryResult>;
  readonly rules: NewTimerRules;
  readonly secrets: KnownSecrets;
}

const problems: readonly ErrorCode[] = [
  'bad_request',
  'invalid_json',
  'validation_failed',
  'timer_not_found',
  'body_too_large',
  'store_unavailable',
  'commit_unknown',
  'overloaded',
];
const changed = {
  200: { description: 'The timer as it is now.', headers: entityTagHeader, body: TimerBody },
};

/** What is answered with 2xx is final: nothing of the timer as it was before starts any more. */
export function changeRoutes(server: FastifyInstance, service: ChangeService): void {
  const { rules, secrets } = service;

  server.patch<{ Params: { id: string }; Body: CreateTimerFields }>(
    '/timers/:id',
    described({
      operationId: 'updateTimer',
      tag: 'timers',
      scope: 'timers:write',
      summary: 'Change a timer',
      description:
        'Of a timer that waits for its first or another attempt. After a 200 no attempt of the timer as it was starts any more.',
      path: timerIdPath,
      headers: ifMatchHeader,
      body: PatchTimerBody,
      answers: changed,
      problems: [
        ...problems,
        'secrets_not_configured',
        'target_not_allowed',
        'quota_exceeded',
        'too_late',
        'version_mismatch',
        'owner_unresponsive',
      ],
    }),
    async (req, reply) => {
      const id = knownId(req.params.id);
      const ifVersion = parseIfMatch(headerOf(req.headers['if-match']));
      const { projectId } = req.principal;
      const { edit, secretUses } = parseTimerPatch(req.body, rules);
      await assertSecretsKnown(projectId, secretUses, secrets);
      assertChanged(await service.update(projectId, id, edit, ifVersion), id);
      return answerChanged(reply, () => service.read(projectId, id), id);
    },
  );

  server.post<{ Params: { id: string } }>(
    '/timers/:id/fire',
    {
      preValidation: optionalBody,
      ...described({
        operationId: 'fireTimer',
        tag: 'timers',
        scope: 'timers:write',
        summary: 'Make a timer due now',
        description: 'Also one that waits for another attempt.',
        path: timerIdPath,
        body: NothingBody,
        isBodyOptional: true,
        answers: changed,
        problems: [...problems, 'too_late', 'owner_unresponsive'],
      }),
    },
    async (req, reply) => {
      const id = knownId(req.params.id);
      assertChanged(await service.fire(req.principal.projectId, id), id);
      return answerChanged(reply, () => service.read(req.principal.projectId, id), id);
    },
  );

  server.post<{ Params: { id: string }; Body: DueFields }>(
    '/timers/:id/retry',
    {
      preValidation: optionalBody,
      ...described({
        operationId: 'retryTimer',
        tag: 'timers',
        scope: 'timers:write',
        summary: 'Try a failed or cancelled timer again',
        description:
          'It is live again under its id, without its name. Attempts go on counting, failures start anew.',
        path: timerIdPath,
        body: RetryTimerBody,
        isBodyOptional: true,
        answers: changed,
        problems: [...problems, 'not_retryable', 'quota_exceeded'],
      }),
    },
    async (req, reply) => {
      const id = knownId(req.params.id);
      const result = await service.retry(
        req.principal.projectId,
        id,
        parseDue(req.body, rules.nowMs()),
      );
      if (result.kind === 'not_found') throw notFound(id);
      if (result.kind === 'not_retryable') {
        throw new BelfryError('not_retryable', `timer ${id} is ${result.status}`);
      }
      return answerChanged(reply, () => service.read(req.principal.projectId, id), id);
    },
  );
}
