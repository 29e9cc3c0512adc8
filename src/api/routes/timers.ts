import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { assertNever, BelfryError } from '../../core/errors.ts';
import { parseIdempotencyKey } from '../../core/idempotency.ts';
import { parseTimerId, type TimerId } from '../../core/ids.ts';
import type { AttemptWithResponse, NewTimer, Timer, TimerStatus } from '../../core/timer.ts';
import { parseNewTimer, type CreateTimerFields, type NewTimerRules } from '../newTimer.ts';
import { described, type Parameters } from '../openapi/operation.ts';
import { AttemptsBody } from '../schemas/attempt.ts';
import { NewTimerBody } from '../schemas/newTimer.ts';
import { CancelledTimerBody, CreatedTimerBody, TimerBody } from '../schemas/timer.ts';
import {
  attemptWithResponseBody,
  createdTimerBody,
  timerBody,
  type CreatedTimer,
} from '../timerBody.ts';
import { idempotencyKeyHeader, timerIdPath } from './parameters.ts';
import { headerOf, projectId } from './request.ts';

/** What the timer routes need of the rest of the service. */
export interface TimerService {
  create(timer: NewTimer): Promise<CreatedTimer>;
  read(projectId: number, id: TimerId): Promise<Timer | undefined>;
  attempts(projectId: number, id: TimerId): Promise<readonly AttemptWithResponse[] | undefined>;
  cancel(
    projectId: number,
    id: TimerId,
  ): Promise<
    | { readonly kind: 'cancelled' }
    | { readonly kind: 'too_late'; readonly status: TimerStatus }
    | { readonly kind: 'not_found' }
  >;
  /** What bounds a new timer. */
  readonly rules: NewTimerRules;
}

const createdHeaders: Parameters = {
  Location: {
    description: 'Where the timer is read.',
    required: true,
    schema: Type.String({ examples: ['/timers/42'] }),
  },
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
      summary: 'Create a timer',
      description: 'Answered once the timer is committed to disk.',
      headers: idempotencyKeyHeader,
      body: NewTimerBody,
      answers: {
        201: { description: 'It is committed.', headers: createdHeaders, body: CreatedTimerBody },
      },
      problems: [
        'validation_failed',
        'invalid_json',
        'bad_request',
        'target_not_allowed',
        'body_too_large',
        'idempotency_key_reused',
        'store_unavailable',
        'commit_unknown',
        'overloaded',
      ],
    }),
    async (req, reply) => {
      const key = parseIdempotencyKey(headerOf(req.headers['idempotency-key']), req.body);
      const timer = parseNewTimer(projectId, req.body, service.rules, key);
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
      summary: 'Read a timer, live or finished',
      path: timerIdPath,
      answers: { 200: { description: 'The timer with every attempt.', body: TimerBody } },
      problems: ['bad_request', 'timer_not_found', 'store_unavailable', 'commit_unknown'],
    }),
    async (req) => {
      const id = knownId(req.params.id);
      const timer = await service.read(projectId, id);
      if (timer === undefined) throw notFound(req.params.id);
      return timerBody(timer);
    },
  );

  server.get<{ Params: { id: string } }>(
    '/timers/:id/attempts',
    described({
      operationId: 'listAttempts',
      tag: 'timers',
      summary: 'What the receiver answered to each attempt',
      path: timerIdPath,
      answers: { 200: { description: 'The attempts.', body: AttemptsBody } },
      problems: ['bad_request', 'timer_not_found', 'store_unavailable', 'commit_unknown'],
    }),
    async (req) => {
      const attempts = await service.attempts(projectId, knownId(req.params.id));
      if (attempts === undefined) throw notFound(req.params.id);
      return { attempts: attempts.map(attemptWithResponseBody) };
    },
  );

  server.delete<{ Params: { id: string } }>(
    '/timers/:id',
    described({
      operationId: 'cancelTimer',
      tag: 'timers',
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
      const result = await service.cancel(projectId, id);
      switch (result.kind) {
        case 'cancelled':
          return { id, status: 'cancelled' };
        case 'not_found':
          throw notFound(req.params.id);
        case 'too_late':
          throw new BelfryError('too_late', `timer ${id} is ${result.status} already`);
        default:
          return assertNever(result);
      }
    },
  );
}

function knownId(text: string): TimerId {
  const id = parseTimerId(text);
  if (id === undefined) throw notFound(text);
  return id;
}

function notFound(id: string): BelfryError {
  return new BelfryError('timer_not_found', `there is no timer ${id.slice(0, 40)}`);
}
