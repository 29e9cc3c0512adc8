import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Actor } from '../../core/audit.ts';
import { everyLiveTimer } from '../../core/bulkChange.ts';
import { BelfryError, invalidField, type ErrorCode } from '../../core/errors.ts';
import { hasScope } from '../../core/principal.ts';
import { described, type Parameters } from '../openapi/operation.ts';
import { BulkAnswerBody, PurgeProjectBody } from '../schemas/bulk.ts';
import { ProjectBody } from '../schemas/token.ts';
import type { AuditService } from './audit.ts';
import type { BulkService } from './bulk.ts';
import { actorOf, optionalBody } from './request.ts';
import { projectBody, type ShownProject } from './tokens.ts';

/** What pausing and emptying a project needs of the rest of the service. */
export interface ProjectStateService {
  /** All are undefined when there is no such project. */
  readonly projectStates: {
    read(id: number): Promise<ShownProject | undefined>;
    pause(id: number, actor: Actor): Promise<ShownProject | undefined>;
    resume(id: number, actor: Actor): Promise<ShownProject | undefined>;
  };
}

const problems: readonly ErrorCode[] = [
  'bad_request',
  'invalid_json',
  'validation_failed',
  'body_too_large',
  'project_not_found',
  'store_unavailable',
  'commit_unknown',
];
const projectIdPath: Parameters = {
  id: {
    description: "The project's number. Another project than the caller's own: for operators.",
    schema: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, examples: [2] }),
  },
};

const states = [
  {
    action: 'pause',
    operationId: 'pauseProject',
    summary: 'Let no timer of the project start',
    description:
      'Within a second of the answer no process starts an attempt of it; those under way end. Timers may be created, changed, cancelled and listed as ever. They keep their status: what falls due stays `pending` or `retrying`, with a `time_left` of 0, until the project is resumed; `expires_after` ends it all the same.',
    success: 'It is paused, as of `paused_at`.',
  },
  {
    action: 'resume',
    operationId: 'resumeProject',
    summary: 'Let the timers of a paused project start again',
    description:
      'What fell due meanwhile starts in the order of its due instants, 1,000 a second, so that nobody else is delayed; what falls due in the meantime waits its turn.',
    success: 'It is not paused any more.',
  },
] as const;

/** Those of a project of the caller's, or for operators of any. */
export function projectStateRoutes(
  server: FastifyInstance,
  { projectStates }: ProjectStateService,
  { bulk }: BulkService,
  { audit }: AuditService,
): void {
  for (const { action, operationId, summary, description, success } of states) {
    server.post<{ Params: { id: string } }>(
      `/projects/:id/${action}`,
      described({
        operationId,
        tag: 'tokens',
        scope: 'admin',
        summary,
        description,
        path: projectIdPath,
        answers: { 200: { description: success, body: ProjectBody } },
        problems,
      }),
      async (req) => {
        const id = projectOf(req);
        return projectBody(existing(await projectStates[action](id, actorOf(req)), id));
      },
    );
  }

  server.post<{ Params: { id: string }; Body: { dry_run?: boolean; token?: unknown } }>(
    '/projects/:id/purge',
    {
      preValidation: optionalBody,
      ...described({
        operationId: 'purgeProject',
        tag: 'tokens',
        scope: 'admin',
        summary: 'Cancel all live timers of the project',
        description:
          'As `POST /timers/cancel` does: first with `dry_run`, which counts; then with its token, as long as `done` is false with that of the answer before. Timers created after the dry run are not touched.',
        path: projectIdPath,
        body: PurgeProjectBody,
        answers: {
          200: {
            description: 'Of a dry run what there is, otherwise how far it has come.',
            body: BulkAnswerBody,
          },
        },
        problems: [...problems, 'overloaded'],
      }),
    },
    async (req) => {
      const { body } = req;
      const projectId = projectOf(req);
      existing(await projectStates.read(projectId), projectId);
      const wish = { projectId, action: 'cancel', filter: everyLiveTimer } as const;
      if (body.dry_run === true) {
        if (body.token !== undefined) throw invalidField('token', 'does not go with dry_run');
        const { count, isComplete, token } = await bulk.plan(wish);
        return { count, is_complete: isComplete, token };
      }
      const begin = () =>
        audit.record(projectId, actorOf(req), {
          action: 'project.purge',
          target: String(projectId),
          detail: {},
        });
      const { totals, token } = await bulk.step(wish, body.token, begin);
      return { done: token === null, ...totals, token };
    },
  );
}

/** Another's is as if there were none. */
function projectOf({ params, principal }: FastifyRequest<{ Params: { id: string } }>): number {
  const id = /^[1-9]\d{0,15}$/.test(params.id) ? Number(params.id) : NaN;
  const isVisible = id === principal.projectId || hasScope(principal, 'operator');
  if (!Number.isSafeInteger(id) || !isVisible) throw projectNotFound(params.id);
  return id;
}

function existing(project: ShownProject | undefined, id: number): ShownProject {
  if (project === undefined) throw projectNotFound(String(id));
  return project;
}

function projectNotFound(id: string): BelfryError {
  return new BelfryError('project_not_found', `there is no project ${id.slice(0, 40)}`);
}
