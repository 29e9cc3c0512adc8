import type { FastifyInstance } from 'fastify';
import {
  parseBulkFilter,
  type BulkAction,
  type BulkPlan,
  type BulkStep,
  type BulkWish,
} from '../../core/bulkChange.ts';
import { invalidField } from '../../core/errors.ts';
import { described } from '../openapi/operation.ts';
import type { AuditService } from './audit.ts';
import { actorOf } from './request.ts';
import { BulkAnswerBody, BulkChangeBody } from '../schemas/bulk.ts';

/** What changing all timers that a filter finds needs of the rest of the service. */
export interface BulkService {
  readonly bulk: {
    plan(wish: BulkWish): Promise<BulkPlan>;
    /** `begin` comes before anything is changed. */
    step(wish: BulkWish, token: unknown, begin: () => Promise<void>): Promise<BulkStep>;
  };
}

interface BulkFields {
  readonly filter?: unknown;
  readonly dry_run?: boolean;
  readonly token?: unknown;
}

const operations = [
  {
    action: 'cancel',
    operationId: 'cancelTimers',
    summary: 'Cancel all timers that a filter finds',
    about: 'Of the live ones: those, unless `status` says more narrowly which.',
  },
  {
    action: 'retry',
    operationId: 'retryTimers',
    summary: 'Try all failed or cancelled timers again that a filter finds',
    about: 'Of the failed and cancelled ones, unless `status` says which of the two. Due at once.',
  },
] as const satisfies readonly { action: BulkAction; [text: string]: string }[];

/** Nothing is changed that nobody has counted before: each step needs a token. */
export function bulkRoutes(
  server: FastifyInstance,
  { bulk }: BulkService,
  { audit }: AuditService,
): void {
  for (const { action, operationId, summary, about } of operations) {
    server.post<{ Body: BulkFields }>(
      `/timers/${action}`,
      described({
        operationId,
        tag: 'timers',
        scope: 'timers:write',
        summary,
        description: `${about} First with \`dry_run\`, which counts; then with its token, as long as \`done\` is false with that of the answer before. A step takes a few seconds. One whose answer was lost is sent again with the same token: what it has changed is not counted again, nor changed unless it has failed again since. Timers created after the dry run are not touched.`,
        body: BulkChangeBody,
        answers: {
          200: {
            description: 'Of a dry run what it found, otherwise how far it has come.',
            body: BulkAnswerBody,
          },
        },
        problems: [
          'bad_request',
          'invalid_json',
          'validation_failed',
          'quota_exceeded',
          'body_too_large',
          'store_unavailable',
          'commit_unknown',
          'overloaded',
        ],
      }),
      async (req) => {
        const { body } = req;
        const { projectId } = req.principal;
        const wish = { projectId, action, filter: parseBulkFilter(action, body.filter) };
        if (body.dry_run === true) {
          if (body.token !== undefined) throw invalidField('token', 'does not go with dry_run');
          const { count, isComplete, token } = await bulk.plan(wish);
          return { count, is_complete: isComplete, token };
        }
        const begin = () =>
          audit.record(projectId, actorOf(req), {
            action: `timers.${action}`,
            target: '',
            detail: { filter: body.filter },
          });
        const { totals, token } = await bulk.step(wish, body.token, begin);
        return { done: token === null, ...totals, token };
      },
    );
  }
}
