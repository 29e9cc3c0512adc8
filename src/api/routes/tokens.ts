import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Actor } from '../../core/audit.ts';
import { parseSpan } from '../../core/due.ts';
import { BelfryError, invalidField, type ErrorCode } from '../../core/errors.ts';
import { instantText } from '../../core/instant.ts';
import type { Rate } from '../../core/limits.ts';
import { hasScope, hasScopes, type Principal } from '../../core/principal.ts';
import { newToken } from '../../core/token.ts';
import { parseName, parseTokenRate, parseTokenWish, type TokenWish } from '../../core/tokenWish.ts';
import { described, type Parameters } from '../openapi/operation.ts';
import {
  CallerBody,
  IssuedTokenBody,
  NewProjectBody,
  NewTokenBody,
  ProjectBody,
  ProjectListBody,
  RotateTokenBody,
  TokenBody,
  TokenListBody,
} from '../schemas/token.ts';
import { TokenPatchBody } from '../schemas/limits.ts';
import { rateBody } from './limits.ts';
import { actorOf, optionalBody } from './request.ts';

/** A project as routes show it. */
export interface ShownProject {
  readonly id: number;
  readonly name: string;
  readonly createdAtMs: number;
  readonly pausedAtMs: number | null;
}

/** A token as routes show it. Instants in milliseconds of the Unix epoch. */
export interface ShownToken extends Pick<TokenWish, 'name' | 'scopes' | 'rate'> {
  readonly id: string;
  readonly projectId: number;
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
  readonly revokedAtMs: number | null;
  readonly lastUsedAtMs: number | null;
}

/** What the routes about projects and tokens need of the rest of the service. */
export interface TokenService {
  readonly projects: {
    add(name: string, actor: Actor): Promise<ShownProject | undefined>;
    list(): Promise<readonly ShownProject[]>;
  };
  readonly tokens: {
    add(
      token: TokenWish & {
        readonly id: string;
        readonly projectId: number;
        readonly secretHash: Buffer;
      },
      actor: Actor,
    ): Promise<ShownToken | undefined>;
    list(projectId: number): Promise<readonly ShownToken[]>;
    /** Of one project, or (null) of whichever. */
    read(projectId: number | null, id: string): Promise<ShownToken | undefined>;
    end(id: string, actor: Actor, afterMs?: number): Promise<ShownToken | undefined>;
    setRate(id: string, rate: Rate | null, actor: Actor): Promise<ShownToken | undefined>;
  };
}

const store: readonly ErrorCode[] = ['bad_request', 'store_unavailable', 'commit_unknown'];
const withBody: readonly ErrorCode[] = [
  ...store,
  'invalid_json',
  'validation_failed',
  'body_too_large',
];
const tokenIdPath: Parameters = {
  id: {
    description: 'Of the token.',
    schema: Type.String({ pattern: '^[0-9a-f]{16}$', examples: ['0123456789abcdef'] }),
  },
};
const overlapDefaultMs = 3_600_000;

export function tokenRoutes(server: FastifyInstance, { projects, tokens }: TokenService): void {
  server.get(
    '/whoami',
    described({
      operationId: 'getCaller',
      tag: 'tokens',
      scope: 'any',
      summary: 'Whom the token makes the caller',
      answers: { 200: { description: 'The caller.', body: CallerBody } },
      problems: ['bad_request'],
    }),
    ({ principal: { kind, id, name, projectId, scopes } }) => ({
      kind,
      id: id === '' ? null : id,
      name,
      project: projectId,
      scopes,
    }),
  );

  server.post<{ Body: { name?: unknown } }>(
    '/projects',
    described({
      operationId: 'createProject',
      tag: 'tokens',
      scope: 'operator',
      summary: 'Make a project',
      description: 'What is of one project is not there for callers of another.',
      body: NewProjectBody,
      answers: { 201: { description: 'It is made.', body: ProjectBody } },
      problems: [...withBody, 'name_taken'],
    }),
    async (req, reply) => {
      const name = parseName(req.body.name);
      const project = await projects.add(name, actorOf(req));
      if (project === undefined) {
        throw new BelfryError('name_taken', `there is a project called "${name}" already`);
      }
      reply.code(201);
      return projectBody(project);
    },
  );

  server.get(
    '/projects',
    described({
      operationId: 'listProjects',
      tag: 'tokens',
      scope: 'operator',
      summary: 'List all projects',
      answers: { 200: { description: 'In the order of their making.', body: ProjectListBody } },
      problems: store,
    }),
    async () => ({ projects: (await projects.list()).map(projectBody) }),
  );

  server.post<{ Body: { name?: unknown; scopes?: unknown; project?: unknown; rate?: unknown } }>(
    '/tokens',
    described({
      operationId: 'createToken',
      tag: 'tokens',
      scope: 'admin',
      summary: 'Give a token',
      description: 'Of no more than the caller may do.',
      body: NewTokenBody,
      answers: { 201: { description: 'The token, this once.', body: IssuedTokenBody } },
      problems: [...withBody, 'project_not_found'],
    }),
    async (req, reply) => {
      const { body, principal } = req;
      const wish = parseTokenWish(body);
      const projectId = parseProject(body.project, principal);
      assertCovers(principal, wish);
      reply.code(201);
      return issue(projectId, wish, actorOf(req));
    },
  );

  server.get<{ Querystring: { project?: string } }>(
    '/tokens',
    described({
      operationId: 'listTokens',
      tag: 'tokens',
      scope: 'admin',
      summary: 'List the tokens of the project',
      query: Type.Object({
        project: Type.Optional(
          Type.Integer({ minimum: 1, description: 'Another project: for operators.' }),
        ),
      }),
      answers: { 200: { description: 'With those that have ended.', body: TokenListBody } },
      problems: [...store, 'validation_failed'],
    }),
    async ({ query, principal }) => {
      const given = query.project;
      const projectId = parseProject(
        given !== undefined && /^\d{1,15}$/.test(given) ? Number(given) : given,
        principal,
      );
      return { tokens: (await tokens.list(projectId)).map(tokenBody) };
    },
  );

  server.delete<{ Params: { id: string } }>(
    '/tokens/:id',
    described({
      operationId: 'revokeToken',
      tag: 'tokens',
      scope: 'admin',
      summary: 'Revoke a token',
      description: 'Within a second it is not taken any more, by any process.',
      path: tokenIdPath,
      answers: { 200: { description: 'It is revoked.', body: TokenBody } },
      problems: [...withBody, 'token_not_found'],
    }),
    async (req) => {
      const { id } = req.params;
      await managed(id, req.principal);
      return tokenBody(existing(await tokens.end(id, actorOf(req)), id));
    },
  );

  server.patch<{ Params: { id: string }; Body: { rate?: unknown } }>(
    '/tokens/:id',
    described({
      operationId: 'updateToken',
      tag: 'tokens',
      scope: 'admin',
      summary: 'Change how often a token may ask',
      description: 'It holds in every process within a second.',
      path: tokenIdPath,
      body: TokenPatchBody,
      answers: { 200: { description: 'The token as it is now.', body: TokenBody } },
      problems: [...withBody, 'token_not_found'],
    }),
    async (req) => {
      const { id } = req.params;
      if (req.body.rate === undefined) throw invalidField('rate', 'is required; null for none');
      const rate = parseTokenRate(req.body.rate);
      await managed(id, req.principal);
      return tokenBody(existing(await tokens.setRate(id, rate, actorOf(req)), id));
    },
  );

  server.post<{ Params: { id: string }; Body: { overlap?: unknown } }>(
    '/tokens/:id/rotate',
    {
      preValidation: optionalBody,
      ...described({
        operationId: 'rotateToken',
        tag: 'tokens',
        scope: 'admin',
        summary: 'Give another token in place of one',
        description:
          'Of the same name, project, scopes and rate, without an end. The old one is good for `overlap` still.',
        path: tokenIdPath,
        body: RotateTokenBody,
        isBodyOptional: true,
        answers: { 201: { description: 'The new token, this once.', body: IssuedTokenBody } },
        problems: [...withBody, 'token_not_found', 'project_not_found'],
      }),
    },
    async (req, reply) => {
      const { body, principal } = req;
      const { id } = req.params;
      const actor = actorOf(req);
      const overlapMs =
        body.overlap === undefined ? overlapDefaultMs : parseSpan('overlap', body.overlap);
      const { projectId, name, scopes, rate } = await managed(id, principal);
      // The new one first: whatever breaks in between leaves one too many, not none.
      const issued = await issue(projectId, { name, scopes, rate, expiresAfterMs: null }, actor);
      await tokens.end(id, actor, overlapMs);
      reply.code(201);
      return issued;
    },
  );

  async function issue(projectId: number, wish: TokenWish, actor: Actor) {
    const { id, secretHash, text } = newToken();
    const token = await tokens.add({ ...wish, id, projectId, secretHash }, actor);
    if (token === undefined) {
      throw new BelfryError('project_not_found', `there is no project ${projectId}`);
    }
    return { ...tokenBody(token), token: text };
  }

  /** A token that the caller may end or renew. Of another project it is as if there were none. */
  async function managed(id: string, principal: Principal): Promise<ShownToken> {
    const within = hasScope(principal, 'operator') ? null : principal.projectId;
    const token = existing(await tokens.read(within, id), id);
    assertCovers(principal, token);
    return token;
  }
}

function existing(token: ShownToken | undefined, id: string): ShownToken {
  if (token === undefined) throw tokenNotFound(id);
  return token;
}

function tokenNotFound(id: string): BelfryError {
  return new BelfryError('token_not_found', `there is no token ${id.slice(0, 40)}`);
}

/** Otherwise an admin could make an operator of themselves. */
function assertCovers(principal: Principal, { scopes }: Pick<TokenWish, 'scopes'>): void {
  if (hasScopes(principal, scopes)) return;
  throw new BelfryError('forbidden', `a token of ${scopes.join(', ')} is more than you may do`);
}

function parseProject(value: unknown, principal: Principal): number {
  if (value === undefined) return principal.projectId;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
    throw invalidField('project', 'must be the number of a project');
  }
  if (value !== principal.projectId && !hasScope(principal, 'operator')) {
    throw new BelfryError('forbidden', 'another project takes the scope operator');
  }
  return value;
}

export function projectBody({ id, name, createdAtMs, pausedAtMs }: ShownProject) {
  const pausedAt = pausedAtMs === null ? null : instantText(pausedAtMs);
  return { id, name, created_at: instantText(createdAtMs), paused_at: pausedAt };
}

function tokenBody(token: ShownToken) {
  const { id, projectId, name, scopes, rate } = token;
  const { createdAtMs, expiresAtMs, revokedAtMs, lastUsedAtMs } = token;
  return {
    id,
    project: projectId,
    name,
    scopes,
    rate: rate === null ? null : rateBody(rate),
    created_at: instantText(createdAtMs),
    expires_at: expiresAtMs === null ? null : instantText(expiresAtMs),
    revoked_at: revokedAtMs === null ? null : instantText(revokedAtMs),
    last_used_at: lastUsedAtMs === null ? null : instantText(lastUsedAtMs),
  };
}
