import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Explanation } from '../../core/blockers.ts';
import { parseIdempotencyKey } from '../../core/idempotency.ts';
import type { TimerId } from '../../core/ids.ts';
import type { AttemptWithResponse, NewTimer, Timer } from '../../core/timer.ts';
import { parseNewTimer, type CreateTimerFields, type NewTimerRules } from '../newTimer.ts';
import { described, type Parameters } from '../openapi/operation.ts';
import { admitSecrets, type KnownSecrets } from '../secretUses.ts';
import { AttemptsBody } from '../schemas/attempt.ts';
import { ExplanationBody, explanationBody } from '../schemas/explanation.ts';
import { NewTimerBody } from '../schemas/newTimer.ts';
import { CancelledTimerBody, CreatedTimerBody, TimerBody } from '../schemas/timer.ts';
import { attemptWithResponseBody, createdTimerBody, type CreatedTimer } from '../timerBody.ts';
import type { CancelResult } from '../../core/timerChange.ts';
import { answerTimer, cancelled, knownId, notFound } from './answers.ts';
import {
  entityTagHeader,
  idempotencyKeyHeader,
  locationHeader,
  timerIdPath,
} from './parameters.ts';
import { headerOf } from './request.ts';

/** What the timer routes need of the rest of the service. */
export interface TimerService {
  create(timer: NewTimer): Promise<CreatedTimer>;
  read(projectId: number, id: TimerId): Promise<Timer | undefined>;
  attempts(projectId: number, id: TimerId): Promise<readonly AttemptWithResponse[] | undefined>;
  explain(projectId: number, id: TimerId): Promise<Explanation | undefined>;
  cancel(projectId: number, id: TimerId): Promise<CancelResult>;
  /** What bounds a new timer. */
  readonly rules: NewTimerRules;
  readonly secrets: KnownSecrets;
}

const createdHeaders: Parameters = {
  ...locationHeader,
  'Idempotent-Replayed': {
    description: '`true` when it had been created before, under the same Idempotency-Key.',
    schema: Type.Literal('true'),
  },
};

export function timerRoutes(server: FastifyInstance, service: TimerService): void {
  server.post<{ Body: CreateTimerFields }>(
    '/timers',
    described({
      operationId: 'createTimer',
      tag: 'timers',
      scope: 'timers:write',
      summary: 'Create a timer',
      description: 'Answered once the timer is committed to disk.',
      headers: idempotencyKeyHeader,
      body: NewTimerBody,
      answers: {
        201: { description: 'It is committed.', headers: createdHeaders, body: CreatedTimerBody },
      },
      problems: [
        'validation_failed',
        'secrets_not_configured',
        'invalid_json',
        'bad_request',
        'target_not_allowed',
        'quota_exceeded',
        'body_too_large',
        'idempotency_key_reused',
        'store_unavailable',
        'commit_unknown',
        'overloaded',
      ],
    }),
    async (req, reply) => {
      const key = parseIdempotencyKey(headerOf(req.headers['idempotency-key']), req.body);
      const timer = parseNewTimer(req.principal.projectId, req.body, service.rules, key);
      await admitSecrets(timer, service.secrets);
      const created = await service.create(timer);
      if (created.isReplay) reply.header('idempotent-replayed', 'true');
      reply.code(201).header('location', `/timers/${created.id}`);
      return createdTimerBody(timer, created);
    },
  );

  server.get<{ Params: { id: string } }>(
    '/timers/:id',
    described({
      operationId: 'getTimer',
      tag: 'timers',
      scope: 'timers:read',
      summary: 'Read a timer, live or finished',
      path: timerIdPath,
      answers: {
        200: {
          description: 'The timer with every attempt.',
          headers: entityTagHeader,
          body: TimerBody,
        },
      },
      problems: ['bad_request', 'timer_not_found', 'store_unavailable', 'commit_unknown'],
    }),
    async (req, reply) => {
      const id = knownId(req.params.id);
      return answerTimer(reply, await service.read(req.principal.projectId, id), id);
    },
  );

  server.get<{ Params: { id: string } }>(
    '/timers/:id/attempts',
    described({
      operationId: 'listAttempts',
      tag: 'timers',
      scope: 'timers:read',
      summary: 'What the receiver answered to each attempt',
      path: timerIdPath,
      answers: { 200: { description: 'The attempts.', body: AttemptsBody } },
      problems: ['bad_request', 'timer_not_found', 'store_unavailable', 'commit_unknown'],
    }),
    async (req) => {
      const attempts = await service.attempts(req.principal.projectId, knownId(req.params.id));
      if (attempts === undefined) throw notFound(req.params.id);
      return { attempts: attempts.map(attemptWithResponseBody) };
    },
  );

  server.get<{ Params: { id: string } }>(
    '/timers/:id/why',
    described({
      operationId: 'explainTimer',
      tag: 'timers',
      scope: 'timers:read',
      summary: 'Why a timer has not fired, and when it is expected to',
      path: timerIdPath,
      answers: { 200: { description: 'What keeps it.', body: ExplanationBody } },
      problems: ['bad_request', 'timer_not_found', 'store_unavailable', 'commit_unknown'],
    }),
    async (req) => {
      const id = knownId(req.params.id);
      const explanation = await service.explain(req.principal.projectId, id);
      if (explanation === undefined) throw notFound(id);
      return explanationBody(id, explanation);
    },
  );

  server.delete<{ Params: { id: string } }>(
    '/timers/:id',
    described({
      operationId: 'cancelTimer',
      tag: 'timers',
      scope: 'timers:write',
      summary: 'Cancel a timer',
      description:
        'The answer is final: after a 200 no attempt starts any more; again a 200 when it is cancelled already.',
      path: timerIdPath,
      answers: { 200: { description: 'No attempt starts any more.', body: CancelledTimerBody } },
      problems: [
        'bad_request',
        'invalid_json',
        'timer_not_found',
        'too_late',
        'body_too_large',
        'store_unavailable',
        'commit_unknown',
        'overloaded',
        'owner_unresponsive',
      ],
    }),
    async (req) => {
      const id = knownId(req.params.id);
      return cancelled(await service.cancel(req.principal.projectId, id), id);
    },
  );
}
