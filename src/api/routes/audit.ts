import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Actor, ChainedEntry, Deed } from '../../core/audit.ts';
import { BelfryError, invalidField } from '../../core/errors.ts';
import { instantText } from '../../core/instant.ts';
import { hasScope } from '../../core/principal.ts';
import { described } from '../openapi/operation.ts';
import { AuditListBody } from '../schemas/audit.ts';

/** What the log of deeds is to the routes. */
export interface AuditService {
  readonly audit: {
    record(projectId: number, actor: Actor, deed: Deed): Promise<void>;
    list(
      projectId: number | null,
      afterId: number,
      limit: number,
    ): Promise<readonly ChainedEntry[]>;
    chain(afterSeq: number, limit: number): Promise<readonly ChainedEntry[]>;
  };
}

interface AuditFields {
  readonly after?: string;
  readonly limit?: string;
  readonly order?: string;
}

const limitDefault = 100;
const limitMax = 1_000;

export function auditRoutes(server: FastifyInstance, { audit }: AuditService): void {
  server.get<{ Querystring: AuditFields }>(
    '/audit',
    described({
      operationId: 'listAudit',
      tag: 'tokens',
      scope: 'admin',
      summary: 'Who did what',
      description:
        "Oldest first. For an admin what was done in the project; for an operator all, also in the order of its chain. An entry's hash is SHA-256 over the hash before it (64 zeros at first) and the JSON array of seq, id, at, project, actor.kind, actor.id, actor.name, actor.address, action, target, detail.",
      query: Type.Object({
        after: Type.Optional(
          Type.Integer({ minimum: 0, default: 0, description: '`next` of the page before.' }),
        ),
        limit: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: limitMax,
            default: limitDefault,
            description: 'Entries on a page at the most.',
          }),
        ),
        order: Type.Optional(
          Type.Unsafe<string>({
            type: 'string',
            enum: ['id', 'chain'],
            default: 'id',
            description: 'chain: by seq, and only what has one; for operators.',
          }),
        ),
      }),
      answers: { 200: { description: 'A page.', body: AuditListBody } },
      problems: ['bad_request', 'validation_failed', 'store_unavailable', 'commit_unknown'],
    }),
    async ({ query, principal }) => {
      const after = wholeNumber('after', query.after, { fallback: 0, min: 0, max: 2 ** 53 - 1 });
      const limit = wholeNumber('limit', query.limit, {
        fallback: limitDefault,
        min: 1,
        max: limitMax,
      });
      const isOperator = hasScope(principal, 'operator');
      const inChain = isChain(query.order);
      if (inChain && !isOperator) {
        throw new BelfryError('forbidden', 'the chain is over all projects: it takes operator');
      }
      const entries = inChain
        ? await audit.chain(after, limit)
        : await audit.list(isOperator ? null : principal.projectId, after, limit);
      const last = entries.length < limit ? undefined : entries.at(-1);
      return {
        entries: entries.map(entryBody),
        next: (inChain ? last?.seq : last?.id) ?? null,
      };
    },
  );
}

function isChain(order: string | undefined): boolean {
  if (order === undefined || order === 'id') return false;
  if (order === 'chain') return true;
  throw invalidField('order', 'must be id or chain');
}

function wholeNumber(
  field: string,
  text: string | undefined,
  { fallback, min, max }: { fallback: number; min: number; max: number },
): number {
  if (text === undefined) return fallback;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw invalidField(field, `must be a whole number from ${min} to ${max}`);
}

function entryBody({ projectId, atMs, ...entry }: ChainedEntry) {
  return { ...entry, project: projectId, at: instantText(atMs) };
}
