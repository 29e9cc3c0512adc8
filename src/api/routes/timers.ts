import type { FastifyInstance } from 'fastify';
import { parseDue, parseSpan } from '../../core/due.ts';
import { assertNever, BelfryError, invalidField } from '../../core/errors.ts';
import { parseTimerId, type TimerId } from '../../core/ids.ts';
import { instantText } from '../../core/instant.ts';
import { parseTargetUrl } from '../../core/target.ts';
import type { NewTimer, Timer, TimerStatus } from '../../core/timer.ts';
import {
  CancelledTimerBody,
  CreatedTimerBody,
  CreateTimerBody,
  TimerBody,
  type CreateTimerFields,
} from '../schemas.ts';

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
  /** Undefined when deliveries may go there, as far as can be told without a look-up. */
  judgeTarget(host: string, port: number): string | undefined;
  /** At most the database's clock, or the machine's before the first sample. */
  nowMs(): number;
  readonly urlLengthMax: number;
}

/** Until projects come, all timers belong to the first. */
const projectId = 1;

export function timerRoutes(server: FastifyInstance, service: TimerService): void {
  server.post<{ Body: CreateTimerFields }>(
    '/timers',
    { schema: { body: CreateTimerBody, response: { 201: CreatedTimerBody } } },
    async (req, reply) => {
      const timer = newTimer(req.body, service);
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

function newTimer(fields: CreateTimerFields, service: TimerService): NewTimer {
  const url = parseTargetUrl(fields.url, service.urlLengthMax);
  const due = parseDue(fields, service.nowMs());
  const expiresAfterMs =
    fields.expires_after === undefined ? null : parseSpan('expires_after', fields.expires_after);
  if (expiresAfterMs === 0) throw invalidField('expires_after', 'must be more than 0');
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  const objection = service.judgeTarget(url.hostname, port);
  if (objection !== undefined) {
    throw new BelfryError(
      'target_not_allowed',
      `url: ${objection}; an operator can allow it with ALLOW_TARGETS`,
      { fields: [{ field: 'url', message: objection }] },
    );
  }
  return {
    projectId,
    due,
    expiresAfterMs,
    request: {
      url: String(fields.url),
      method: 'POST',
      headers: null,
      body: null,
      appendId: fields.append_id ?? true,
      timeoutMs: null,
    },
    retry: null,
  };
}

function knownId(text: string): TimerId {
  const id = parseTimerId(text);
  if (id === undefined) throw notFound(text);
  return id;
}

function notFound(id: string): BelfryError {
  return new BelfryError('timer_not_found', `there is no timer ${id.slice(0, 40)}`);
}

function secondsLeft(ms: number): number {
  return Math.max(0, Math.round(ms) / 1_000);
}

function timerBody(timer: Timer) {
  const instant = (ms: number | null) => (ms === null ? null : instantText(ms));
  return {
    id: timer.id,
    time_left: secondsLeft(timer.timeLeftMs),
    status: timer.status,
    url: timer.url,
    method: timer.method,
    due_at: instantText(timer.dueAtMs),
    created_at: instantText(timer.createdAtMs),
    expires_at: instant(timer.expiresAtMs),
    next_attempt_at: instant(timer.nextAtMs),
    finished_at: instant(timer.finishedAtMs),
    failure_code: timer.failureCode,
    attempts: timer.attempts.map((attempt) => ({
      number: attempt.number,
      started_at: instant(attempt.startedAtMs),
      lateness_ms: attempt.latenessMs,
      duration_ms: attempt.durationMs,
      status: attempt.status,
      error_code: attempt.errorCode,
      lost: attempt.errorCode === 'lost',
    })),
  };
}
