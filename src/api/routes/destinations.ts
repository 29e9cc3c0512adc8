import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Actor } from '../../core/audit.ts';
import {
  destinationsMax,
  noDestinationContent,
  type Destination,
  type DestinationResult,
  type DestinationWish,
} from '../../core/destination.ts';
import { destinationPattern, parseDestinationPattern } from '../../core/destinationPattern.ts';
import { entityTag, parseIfMatch } from '../../core/entityTag.ts';
import { assertNever, BelfryError, invalidField, type ErrorCode } from '../../core/errors.ts';
import type { SecretUse } from '../../core/secretTemplate.ts';
import {
  destinationBody,
  parseDestinationFields,
  type DestinationFields,
  type DestinationRules,
} from '../destinationFields.ts';
import { described, type Parameters } from '../openapi/operation.ts';
import {
  DestinationBody,
  DestinationListBody,
  DestinationPatchBody,
  destinationPatternSchema,
  DestinationWishBody,
} from '../schemas/destination.ts';
import { assertSecretsKnown, type KnownSecrets } from '../secretUses.ts';
import { entityTagHeader, ifMatchHeader } from './parameters.ts';
import { actorOf, headerOf, optionalBody } from './request.ts';
import { NothingBody } from '../schemas/timerChange.ts';

/** What the routes about destinations need of the rest of the service. Undefined: there are none. */
export interface DestinationService {
  list(projectId: number): Promise<readonly Destination[]>;
  read(projectId: number, pattern: string): Promise<Destination | undefined>;
  set(wish: DestinationWish, actor: Actor): Promise<DestinationResult>;
  delete(
    projectId: number,
    pattern: string,
    mayDelete: (before: Destination) => void,
    actor: Actor,
  ): Promise<Destination | undefined>;
  pause(projectId: number, pattern: string, actor: Actor): Promise<Destination | undefined>;
  resume(projectId: number, pattern: string, actor: Actor): Promise<Destination | undefined>;
  /** Something of this was done. */
  onChanged(): Promise<void>;
  readonly rules: DestinationRules;
  readonly secrets: KnownSecrets;
}

interface Named {
  readonly Params: { pattern: string };
}

const store: readonly ErrorCode[] = ['bad_request', 'store_unavailable', 'commit_unknown'];
const withBody: readonly ErrorCode[] = [
  ...store,
  'invalid_json',
  'validation_failed',
  'body_too_large',
];
const patternPath: Parameters = {
  pattern: { description: 'Of the destinations.', schema: destinationPatternSchema },
};
const tag = 'destinations';
const shown = (description: string) => ({
  description,
  headers: entityTagHeader,
  body: DestinationBody,
});

const states = [
  {
    action: 'pause',
    operationId: 'pauseDestination',
    summary: 'Let nothing start to these destinations',
    success: 'It is paused.',
  },
  {
    action: 'resume',
    operationId: 'resumeDestination',
    summary: 'Let it start again',
    success: 'It is not paused any more.',
  },
] as const;

export function destinationRoutes(server: FastifyInstance, service: DestinationService): void {
  const { rules, secrets } = service;

  server.get(
    '/destinations',
    described({
      operationId: 'listDestinations',
      tag,
      scope: 'timers:read',
      summary: 'List the settings of destinations',
      answers: { 200: { description: 'By pattern.', body: DestinationListBody } },
      problems: store,
    }),
    async ({ principal }) => ({
      destinations: (await service.list(principal.projectId)).map(destinationBody),
    }),
  );

  server.get<Named>(
    '/destinations/:pattern',
    described({
      operationId: 'getDestination',
      tag,
      scope: 'timers:read',
      summary: 'What is set for a pattern',
      path: patternPath,
      answers: { 200: shown('The settings of exactly this pattern.') },
      problems: [...store, 'destination_not_found'],
    }),
    async (req, reply) => {
      const pattern = knownPattern(req.params.pattern);
      return answered(reply, await service.read(req.principal.projectId, pattern), pattern);
    },
  );

  server.put<Named & { Body: DestinationFields }>(
    '/destinations/:pattern',
    described({
      operationId: 'putDestination',
      tag,
      scope: 'admin',
      summary: 'Set what holds for destinations',
      description: `Creates the settings of a pattern, or replaces them as a whole (but for whether it is paused). They hold for attempts that start from a second later on, also of timers that were created before. At most ${destinationsMax} a project.`,
      path: patternPath,
      headers: ifMatchHeader,
      body: DestinationWishBody,
      answers: { 200: shown('They are replaced.'), 201: shown('They are new.') },
      problems: [...withBody, 'secrets_not_configured', 'version_mismatch', 'quota_exceeded'],
    }),
    async (req, reply) => {
      const { edit, ...parsed } = parseDestinationFields(req.body, rules);
      const pattern = parseDestinationPattern('pattern', req.params.pattern);
      const ifVersion = ifVersionOf(req);
      return change(req, reply, pattern, {
        ...parsed,
        edit(before) {
          assertVersion(before, ifVersion, pattern);
          const edited = edit(noDestinationContent, before);
          return { ...edited, tls: edited.tls ?? null };
        },
      });
    },
  );

  server.patch<Named & { Body: DestinationFields }>(
    '/destinations/:pattern',
    described({
      operationId: 'updateDestination',
      tag,
      scope: 'admin',
      summary: 'Change some of what holds for destinations',
      path: patternPath,
      headers: ifMatchHeader,
      body: DestinationPatchBody,
      answers: { 200: shown('The settings as they are now.') },
      problems: [
        ...withBody,
        'secrets_not_configured',
        'destination_not_found',
        'version_mismatch',
      ],
    }),
    async (req, reply) => {
      if (Object.keys(req.body).length === 0) {
        throw invalidField('body', 'must say what is to change');
      }
      const { edit, ...parsed } = parseDestinationFields(req.body, rules);
      const pattern = knownPattern(req.params.pattern);
      const ifVersion = ifVersionOf(req);
      return change(req, reply, pattern, {
        ...parsed,
        edit(before) {
          if (before === undefined) return undefined;
          assertVersion(before, ifVersion, pattern);
          return edit(before, before);
        },
      });
    },
  );

  server.delete<Named>(
    '/destinations/:pattern',
    described({
      operationId: 'deleteDestination',
      tag,
      scope: 'admin',
      summary: 'Set nothing for a pattern any more',
      path: patternPath,
      headers: ifMatchHeader,
      answers: { 200: shown('The settings as they were.') },
      problems: [...withBody, 'destination_not_found', 'version_mismatch'],
    }),
    async (req, reply) => {
      const pattern = knownPattern(req.params.pattern);
      const ifVersion = ifVersionOf(req);
      const { projectId } = req.principal;
      const mayDelete = (before: Destination) => assertVersion(before, ifVersion, pattern);
      const deleted = await service.delete(projectId, pattern, mayDelete, actorOf(req));
      await service.onChanged();
      return answered(reply, deleted, pattern);
    },
  );

  for (const { action, operationId, summary, success } of states) {
    server.post<Named>(
      `/destinations/:pattern/${action}`,
      {
        preValidation: optionalBody,
        ...described({
          operationId,
          tag,
          scope: 'admin',
          summary,
          path: patternPath,
          body: NothingBody,
          isBodyOptional: true,
          answers: { 200: shown(success) },
          problems: [...withBody, 'destination_not_found'],
        }),
      },
      async (req, reply) => {
        const pattern = knownPattern(req.params.pattern);
        const held = await service[action](req.principal.projectId, pattern, actorOf(req));
        await service.onChanged();
        return answered(reply, held, pattern);
      },
    );
  }

  async function change(
    req: FastifyRequest,
    reply: FastifyReply,
    pattern: string,
    wish: Pick<DestinationWish, 'edit' | 'detail'> & { readonly secretUses: readonly SecretUse[] },
  ) {
    const { projectId } = req.principal;
    await assertSecretsKnown(projectId, wish.secretUses, secrets);
    const { edit, detail } = wish;
    const result = await service.set({ projectId, pattern, edit, detail }, actorOf(req));
    switch (result.kind) {
      case 'set':
        await service.onChanged();
        reply.code(result.isNew ? 201 : 200);
        return answered(reply, result.destination, pattern);
      case 'not_found':
        throw notFound(pattern);
      case 'too_many':
        throw tooMany();
      default:
        return assertNever(result);
    }
  }
}

function ifVersionOf({ headers }: FastifyRequest): number | null {
  return parseIfMatch(headerOf(headers['if-match']));
}

function answered(reply: FastifyReply, destination: Destination | undefined, pattern: string) {
  if (destination === undefined) throw notFound(pattern);
  reply.header('etag', entityTag(destination.version));
  return destinationBody(destination);
}

/** @throws BelfryError `destination_not_found` for what is no pattern. */
function knownPattern(text: string): string {
  const pattern = destinationPattern(text);
  if (pattern === undefined) throw notFound(text);
  return pattern;
}

function assertVersion(
  before: Destination | undefined,
  ifVersion: number | null,
  pattern: string,
): void {
  if (ifVersion === null || before?.version === ifVersion) return;
  const is = before === undefined ? 'is not there' : `has version ${before.version}`;
  throw new BelfryError('version_mismatch', `destination ${pattern} ${is}, not ${ifVersion}`);
}

function notFound(pattern: string): BelfryError {
  return new BelfryError(
    'destination_not_found',
    `there are no settings of destination ${pattern.slice(0, 80)}`,
  );
}

function tooMany(): BelfryError {
  const quota = { quota: 'destinations', limit: destinationsMax, used: destinationsMax };
  return new BelfryError(
    'quota_exceeded',
    `the project may have settings of at most ${destinationsMax} destinations`,
    { quota },
  );
}
