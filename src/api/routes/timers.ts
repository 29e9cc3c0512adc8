import type { FastifyInstance } from 'fastify';
import { assertNever, BelfryError } from '../../core/errors.ts';
import { parseTimerId, type TimerId } from '../../core/ids.ts';
import { instantText } from '../../core/instant.ts';
import type { NewTimer, Timer, TimerStatus } from '../../core/timer.ts';
import { parseNewTimer, type CreateTimerFields, type NewTimerRules } from '../newTimer.ts';
import { CancelledTimerBody, CreatedTimerBody, CreateTimerBody, TimerBody } from '../schemas.ts';
import { secondsLeft, timerBody } from '../timerBody.ts';

/** What the timer routes need of the rest of the service. */
export interface TimerService {
  create(timer: NewTimer): Promise<{
    readonly id: TimerId;
    readonly dueAtMs: number;
    readonly createdAtMs: number;
  }>;
  read(projectId: number, id: TimerId): Promise<Timer | undefined>;
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

/** Until projects come, all timers belong to the first. */
const projectId = 1;

export function timerRoutes(server: FastifyInstance, service: TimerService): void {
  server.post<{ Body: CreateTimerFields }>(
    '/timers',
    { schema: { body: CreateTimerBody, response: { 201: CreatedTimerBody } } },
    async (req, reply) => {
      const timer = parseNewTimer(projectId, req.body, service.rules);
      const { id, dueAtMs, createdAtMs } = await service.create(timer);
      reply.code(201).header('location', `/timers/${id}`);
      return {
        id,
        time_left: secondsLeft(dueAtMs - createdAtMs),
        status: 'pending',
        url: timer.request.url,
        due_at: instantText(dueAtMs),
        created_at: instantText(createdAtMs),
        expires_at:
          timer.expiresAfterMs === null ? null : instantText(dueAtMs + timer.expiresAfterMs),
      };
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
