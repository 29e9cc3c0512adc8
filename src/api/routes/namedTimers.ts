import type { FastifyInstance } from 'fastify';
import type { TimerId } from '../../core/ids.ts';
import type { NewTimer, Timer } from '../../core/timer.ts';
import { parseTimerKey } from '../../core/timerKey.ts';
import { parseNewTimer, type CreateTimerFields, type NewTimerRules } from '../newTimer.ts';
import { described } from '../openapi/operation.ts';
import { admitSecrets, type KnownSecrets } from '../secretUses.ts';
import { NewTimerBody } from '../schemas/newTimer.ts';
import { CancelledTimerBody, PutTimerBody, TimerBody } from '../schemas/timer.ts';
import type { CancelResult, PutResult } from '../../core/timerChange.ts';
import { answerChanged, answerTimer, cancelled, notFound } from './answers.ts';
import { entityTagHeader, locationHeader, timerKeyPath } from './parameters.ts';

/** What timers by name need of the rest of the service. */
export interface NamedTimerService {
  read(projectId: number, id: TimerId): Promise<Timer | undefined>;
  find(projectId: number, key: string): Promise<TimerId | undefined>;
  putByKey(timer: NewTimer, key: string): Promise<PutResult<{ readonly id: TimerId }>>;
  cancelByKey(projectId: number, key: string): Promise<CancelResult>;
  readonly rules: NewTimerRules;
  readonly secrets: KnownSecrets;
}

interface ByKey {
  readonly Params: { key: string };
}

/** Timers that are pushed back by their name: debounce, session time-outs, dead-man's switches. */
export function namedTimerRoutes(server: FastifyInstance, service: NamedTimerService): void {
  server.put<ByKey & { Body: CreateTimerFields }>(
    '/timers/by-key/:key',
    described({
      operationId: 'putTimerByKey',
      tag: 'timers',
      scope: 'timers:write',
      summary: 'Create or replace the live timer of a name',
      description:
        "For debounce, session time-outs, dead-man's switches: one live timer of a name at a time. While it is being delivered, the name moves to a new one.",
      path: timerKeyPath,
      body: NewTimerBody,
      answers: {
        200: {
          description: 'It is replaced in place.',
          headers: entityTagHeader,
          body: PutTimerBody,
        },
        201: {
          description: 'A new one is committed.',
          headers: { ...locationHeader, ...entityTagHeader },
          body: PutTimerBody,
        },
      },
      problems: [
        'bad_request',
        'invalid_json',
        'validation_failed',
        'secrets_not_configured',
        'target_not_allowed',
        'quota_exceeded',
        'body_too_large',
        'store_unavailable',
        'commit_unknown',
        'overloaded',
        'owner_unresponsive',
      ],
    }),
    async (req, reply) => {
      const key = parseTimerKey(req.params.key);
      const timer = parseNewTimer(req.principal.projectId, req.body, service.rules, null);
      await admitSecrets(timer, service.secrets);
      const result = await service.putByKey(timer, key);
      if (result.kind === 'replaced') {
        return answerChanged(
          reply,
          () => service.read(req.principal.projectId, result.id),
          result.id,
        );
      }
      const { created, previous } = result;
      const read = () => service.read(req.principal.projectId, created.id);
      const body = await answerChanged(reply, read, created.id);
      reply.code(201).header('location', `/timers/${created.id}`);
      return previous === null ? body : { ...body, previous };
    },
  );

  server.get<ByKey>(
    '/timers/by-key/:key',
    described({
      operationId: 'getTimerByKey',
      tag: 'timers',
      scope: 'timers:read',
      summary: 'Read the live timer of a name',
      path: timerKeyPath,
      answers: {
        200: { description: 'The timer.', headers: entityTagHeader, body: TimerBody },
      },
      problems: [
        'bad_request',
        'validation_failed',
        'timer_not_found',
        'store_unavailable',
        'commit_unknown',
      ],
    }),
    async (req, reply) => {
      const key = parseTimerKey(req.params.key);
      const id = await service.find(req.principal.projectId, key);
      const timer = id === undefined ? undefined : await service.read(req.principal.projectId, id);
      if (id === undefined || timer === undefined || timer.nextAtMs === null) throw notFound(key);
      return answerTimer(reply, timer, id);
    },
  );

  server.delete<ByKey>(
    '/timers/by-key/:key',
    described({
      operationId: 'cancelTimerByKey',
      tag: 'timers',
      scope: 'timers:write',
      summary: 'Cancel the live timer of a name',
      description: 'The answer is final: after a 200 no attempt starts any more.',
      path: timerKeyPath,
      answers: { 200: { description: 'No attempt starts any more.', body: CancelledTimerBody } },
      problems: [
        'bad_request',
        'invalid_json',
        'validation_failed',
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
      const key = parseTimerKey(req.params.key);
      return cancelled(await service.cancelByKey(req.principal.projectId, key), key);
    },
  );
}
