import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Actor } from '../../core/audit.ts';
import { BelfryError, type ErrorCode } from '../../core/errors.ts';
import {
  parseLimitsPatch,
  type LimitFields,
  type LimitsPatch,
  type ProjectLimits,
  type Rate,
} from '../../core/limits.ts';
import { hasScope, type RequestRate } from '../../core/principal.ts';
import { described, type Parameters } from '../openapi/operation.ts';
import type { RateKeeper } from '../rateLimit.ts';
import { LimitsBody, LimitsPatchBody, UsageBody } from '../schemas/limits.ts';
import { actorOf } from './request.ts';

/** What the routes about limits need of the rest of the service. Undefined: no such project. */
export interface LimitService {
  read(projectId: number): Promise<ProjectLimits | undefined>;
  set(projectId: number, patch: LimitsPatch, actor: Actor): Promise<ProjectLimits | undefined>;
  usage(projectId: number): Promise<
    | {
        readonly limits: ProjectLimits;
        readonly liveTimers: number;
        readonly createdToday: number | null;
      }
    | undefined
  >;
}

const problems: readonly ErrorCode[] = [
  'bad_request',
  'project_not_found',
  'store_unavailable',
  'commit_unknown',
];
const projectIdPath: Parameters = {
  id: {
    description: "The project's number. What is no number of a project is a 404.",
    schema: Type.Integer({ minimum: 1, examples: [2] }),
  },
};

export function limitRoutes(
  server: FastifyInstance,
  service: LimitService,
  keeper: RateKeeper,
): void {
  server.get<{ Params: { id: string } }>(
    '/projects/:id/limits',
    described({
      operationId: 'getLimits',
      tag: 'tokens',
      scope: 'admin',
      summary: 'What a project may do at most',
      description: 'Of another project than its own: for operators.',
      path: projectIdPath,
      answers: { 200: { description: 'Null: not bounded.', body: LimitsBody } },
      problems,
    }),
    async ({ params, principal }) => {
      const id = knownProject(params.id);
      const isVisible = id === principal.projectId || hasScope(principal, 'operator');
      return limitsBody(id, isVisible ? await service.read(id) : undefined);
    },
  );

  server.patch<{ Params: { id: string }; Body: LimitFields }>(
    '/projects/:id/limits',
    described({
      operationId: 'setLimits',
      tag: 'tokens',
      scope: 'operator',
      summary: 'Set what a project may do at most',
      description:
        'What is not given stays as it is; null takes a limit away. It holds in every process within a second. What is there already stays, even if it is more.',
      path: projectIdPath,
      body: LimitsPatchBody,
      answers: { 200: { description: 'The limits as they are now.', body: LimitsBody } },
      problems: [...problems, 'invalid_json', 'validation_failed', 'body_too_large'],
    }),
    async (req) => {
      const id = knownProject(req.params.id);
      const patch = parseLimitsPatch(req.body);
      return limitsBody(id, await service.set(id, patch, actorOf(req)));
    },
  );

  server.get(
    '/usage',
    described({
      operationId: 'getUsage',
      tag: 'timers',
      scope: 'timers:read',
      summary: 'What the project uses, beside what it may',
      answers: {
        200: { description: 'Counts are of the last seconds, at most.', body: UsageBody },
      },
      problems: ['bad_request', 'store_unavailable', 'commit_unknown'],
    }),
    async ({ principal: { projectId, rates } }) => {
      const usage = await service.usage(projectId);
      if (usage === undefined) throw projectNotFound(projectId);
      const { limits, liveTimers, createdToday } = usage;
      const { rate: _, live_timers, creates_per_day, ...others } = limitsBody(projectId, limits);
      return {
        ...others,
        requests: requestsBody('project', rates, keeper),
        token_requests: requestsBody('token', rates, keeper),
        live_timers: { limit: live_timers, used: liveTimers },
        creates_per_day: { limit: creates_per_day, used: createdToday },
      };
    },
  );
}

/** @throws BelfryError `project_not_found` for what is no number. */
function knownProject(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw projectNotFound(text);
}

function projectNotFound(id: string | number): BelfryError {
  return new BelfryError('project_not_found', `there is no project ${String(id).slice(0, 40)}`);
}

function limitsBody(project: number, limits: ProjectLimits | undefined) {
  if (limits === undefined) throw projectNotFound(project);
  return {
    project,
    rate: limits.rate === undefined ? null : rateBody(limits.rate),
    live_timers: limits.liveTimers ?? null,
    creates_per_day: limits.createsPerDay ?? null,
    body_bytes: limits.bodyBytes ?? null,
    horizon: limits.horizonMs === undefined ? null : limits.horizonMs / 1_000,
    attempts: limits.attempts ?? null,
  };
}

export function rateBody({ requests, perMs, burst }: Rate) {
  return { requests, per: perMs / 1_000, burst };
}

function requestsBody(
  name: RequestRate['name'],
  rates: readonly RequestRate[] | undefined,
  keeper: RateKeeper,
) {
  const rate = rates?.find((each) => each.name === name);
  if (rate === undefined) return { limit: null, remaining: null };
  return { limit: rateBody(rate.rate), remaining: keeper.remaining(rate).count };
}
