import type { FastifyInstance } from 'fastify';
import { parseIdempotencyKey } from '../../core/idempotency.ts';
import type { TimerId } from '../../core/ids.ts';
import type { AttemptWithResponse, NewTimer, Timer } from '../../core/timer.ts';
import { parseNewTimer, type CreateTimerFields, type NewTimerRules } from '../newTimer.ts';
import {
  AttemptsBody,
  CancelledTimerBody,
  CreatedTimerBody,
  CreateTimerBody,
  TimerBody,
} from '../schemas.ts';
import { attemptWithResponseBody, createdTimerBody, type CreatedTimer } from '../timerBody.ts';
import { answerTimer, cancelled, knownId, notFound, type CancelResult } from './answers.ts';
import { headerOf, projectId } from './request.ts';

/** What the timer routes need of the rest of the service. */
export interface TimerService {
  create(timer: NewTimer): Promise<CreatedTimer>;
  read(projectId: number, id: TimerId): Promise<Timer | undefined>;
  attempts(projectId: number, id: TimerId): Promise<readonly AttemptWithResponse[] | undefined>;
  cancel(projectId: number, id: TimerId): Promise<CancelResult>;
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
    async (req, reply) => {
      const id = knownId(req.params.id);
      return answerTimer(reply, await service.read(projectId, id), id);
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
      return cancelled(await service.cancel(projectId, id), id);
    },
  );
}
