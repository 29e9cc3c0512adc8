import type { FastifyInstance } from 'fastify';
import { assertNever, BelfryError } from '../../core/errors.ts';
import { parseIdempotencyKey } from '../../core/idempotency.ts';
import { parseTimerId, type TimerId } from '../../core/ids.ts';
import type { AttemptWithResponse, NewTimer, Timer, TimerStatus } from '../../core/timer.ts';
import { parseNewTimer, type CreateTimerFields, type NewTimerRules } from '../newTimer.ts';
import {
  AttemptsBody,
  CancelledTimerBody,
  CreatedTimerBody,
  CreateTimerBody,
  TimerBody,
} from '../schemas.ts';
import {
  attemptWithResponseBody,
  createdTimerBody,
  timerBody,
  type CreatedTimer,
} from '../timerBody.ts';
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

export function timerRoutes(server: FastifyInstance, service: TimerService): void {
  server.post<{ Body: CreateTimerFields }>(
    '/timers',
    { schema: { body: CreateTimerBody, response: { 201: CreatedTimerBody } } },
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
    { schema: { response: { 200: TimerBody } } },
    async (req) => {
      const id = knownId(req.params.id);
      const timer = await service.read(projectId, id);
      if (timer === undefined) throw notFound(req.params.id);
      return timerBody(timer);
    },
  );

  server.get<{ Params: { id: string } }>(
    '/timers/:id/attempts',
    { schema: { response: { 200: AttemptsBody } } },
    async (req) => {
      const attempts = await service.attempts(projectId, knownId(req.params.id));
      if (attempts === undefined) throw notFound(req.params.id);
      return { attempts: attempts.map(attemptWithResponseBody) };
    },
  );

  server.delete<{ Params: { id: string } }>(
    '/timers/:id',
    { schema: { response: { 200: CancelledTimerBody } } },
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
