import type { FastifyInstance } from 'fastify';
import type { Actor } from '../../core/audit.ts';
import type { ShownBreaker } from '../../core/breaker.ts';
import { BelfryError, type ErrorCode } from '../../core/errors.ts';
import { instantText } from '../../core/instant.ts';
import { originOf } from '../../core/target.ts';
import { described, type Parameters } from '../openapi/operation.ts';
import { BreakerListBody, breakerOrigin, ResetBreakerBody } from '../schemas/breaker.ts';
import { NothingBody } from '../schemas/timerChange.ts';
import { actorOf, optionalBody } from './request.ts';

/** What the routes about breakers need of the rest of the service. */
export interface BreakerService {
  /** Those that are open. */
  list(projectId: number): Promise<readonly ShownBreaker[]>;
  /** False when there was none. */
  reset(destination: { projectId: number; origin: string }, actor: Actor): Promise<boolean>;
}

const store: readonly ErrorCode[] = ['bad_request', 'store_unavailable', 'commit_unknown'];
const path: Parameters = {
  destination: { description: 'Of the breaker.', schema: breakerOrigin },
};

export function breakerRoutes(server: FastifyInstance, breakers: BreakerService): void {
  server.get(
    '/breakers',
    described({
      operationId: 'listBreakers',
      tag: 'destinations',
      scope: 'timers:read',
      summary: 'List destinations that are left alone because they fail',
      description:
        'Their timers wait; one at a time is sent as a probe. The first that succeeds takes the destination off this list.',
      answers: { 200: { description: 'By destination.', body: BreakerListBody } },
      problems: store,
    }),
    async ({ principal }) => ({
      breakers: (await breakers.list(principal.projectId)).map(breakerBody),
    }),
  );

  server.post<{ Params: { destination: string } }>(
    '/breakers/:destination/reset',
    {
      preValidation: optionalBody,
      ...described({
        operationId: 'resetBreaker',
        tag: 'destinations',
        scope: 'admin',
        summary: 'Send to a destination again, now',
        description:
          'All that waits for it, in every process within a second; also when it is disabled.',
        path,
        body: NothingBody,
        isBodyOptional: true,
        answers: { 200: { description: 'It is reset.', body: ResetBreakerBody } },
        problems: [
          ...store,
          'invalid_json',
          'validation_failed',
          'body_too_large',
          'breaker_not_found',
        ],
      }),
    },
    async (req) => {
      const { destination } = req.params;
      const { projectId } = req.principal;
      const origin = originOf(destination);
      if (origin === '' || !(await breakers.reset({ projectId, origin }, actorOf(req)))) {
        throw new BelfryError(
          'breaker_not_found',
          `no breaker is open of ${destination.slice(0, 80)}; destinations are given as https://host:port`,
        );
      }
      return { destination: origin };
    },
  );
}

function breakerBody({ origin, reason, failingSinceMs, nextProbeAtMs, probes }: ShownBreaker) {
  return {
    destination: origin,
    state: reason,
    failing_since: instantText(failingSinceMs),
    next_probe_at: nextProbeAtMs === null ? null : instantText(nextProbeAtMs),
    failed_probes: probes,
  };
}
