import type { FastifyInstance } from 'fastify';
import { cursorText, parseCursor, type ListOrder, type ListPosition } from '../../core/cursor.ts';
import { invalidField } from '../../core/errors.ts';
import type { TimerSummary } from '../../core/timer.ts';
import {
  finishedStatuses,
  fingerprintOf,
  parseTimerFilter,
  type FilterFields,
  type TimerFilter,
} from '../../core/timerFilter.ts';
import { described } from '../openapi/operation.ts';
import { TimerListBody, TimerListQuery } from '../schemas/timerList.ts';
import { timerSummaryBody } from '../timerBody.ts';

/** What lists need of the rest of the service. */
export interface ListService {
  list(query: {
    readonly projectId: number;
    readonly filter: TimerFilter;
    readonly order: ListOrder;
    /** Null for the first page. */
    readonly position: ListPosition | null;
    readonly limit: number;
  }): Promise<{ readonly entries: readonly TimerSummary[]; readonly next: ListPosition | null }>;
}

interface ListFields extends FilterFields {
  readonly order?: unknown;
  readonly limit?: unknown;
  readonly cursor?: unknown;
}

const limitDefault = 50;
const limitMax = 500;

export function listRoutes(server: FastifyInstance, service: ListService): void {
  server.get<{ Querystring: ListFields }>(
    '/timers',
    described({
      operationId: 'listTimers',
      tag: 'timers',
      scope: 'timers:read',
      summary: 'List timers, live and finished',
      query: TimerListQuery,
      answers: { 200: { description: 'A page.', body: TimerListBody } },
      problems: ['bad_request', 'validation_failed', 'store_unavailable', 'commit_unknown'],
    }),
    async (req) => {
      const { query } = req;
      const { projectId } = req.principal;
      const filter = parseTimerFilter(query);
      const order = parseOrder(query.order, filter);
      const fingerprint = fingerprintOf(filter, [projectId, order]);
      const { entries, next } = await service.list({
        projectId,
        filter,
        order,
        position: query.cursor === undefined ? null : parseCursor(query.cursor, order, fingerprint),
        limit: parseLimit(query.limit),
      });
      return {
        timers: entries.map(timerSummaryBody),
        next: next === null ? null : cursorText(next, fingerprint),
      };
    },
  );
}

function parseOrder(value: unknown, { statuses }: TimerFilter): ListOrder {
  if (value === undefined || value === 'newest') return 'newest';
  if (value !== 'soonest') throw invalidField('order', 'must be newest or soonest');
  if (finishedStatuses.some((status) => statuses?.includes(status))) {
    throw invalidField('order', 'must be newest where status is a finished one');
  }
  return value;
}

function parseLimit(value: unknown): number {
  if (value === undefined) return limitDefault;
  const limit = typeof value === 'string' && /^\d{1,3}$/.test(value) ? Number(value) : 0;
  if (limit < 1 || limit > limitMax) {
    throw invalidField('limit', `must be a whole number from 1 to ${limitMax}`);
  }
  return limit;
}
