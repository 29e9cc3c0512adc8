import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Actor } from '../../core/audit.ts';
import { parseSpan } from '../../core/due.ts';
import { BelfryError, type ErrorCode } from '../../core/errors.ts';
import { instantText } from '../../core/instant.ts';
import { secretsNotConfigured } from '../../core/secretHeaders.ts';
import {
  isSigningKeyId,
  overlapDefaultMs,
  parseSigningKeyWish,
  tooManySigningKeys,
  type NewSigningKey,
} from '../../core/signingKey.ts';
import type { SignatureScheme } from '../../core/webhookSignature.ts';
import { described, type Parameters } from '../openapi/operation.ts';
import {
  IssuedSigningKeyBody,
  NewSigningKeyBody,
  PublishedKeysBody,
  RotateSigningKeyBody,
  SigningKeyBody,
  signingKeyId,
  SigningKeyListBody,
} from '../schemas/signingKey.ts';
import { actorOf, optionalBody } from './request.ts';

/** A signing key as routes show it. Instants in milliseconds of the Unix epoch. */
export interface ShownSigningKey {
  readonly id: string;
  /** A pattern of destinations. */
  readonly destination: string;
  readonly scheme: SignatureScheme;
  readonly publicText: string | null;
  readonly createdAtMs: number;
  readonly retiresAtMs: number | null;
}

/** What the routes about signing keys need of the rest of the service. */
export interface SigningKeyService {
  /** Whether keys can be kept: otherwise none is made. */
  readonly isConfigured: boolean;
  /** Undefined when the destination has as many as it may, or the project. */
  add(projectId: number, key: NewSigningKey, actor: Actor): Promise<ShownSigningKey | undefined>;
  /** Undefined when there is no such key, or the destination has as many as it may. */
  rotate(
    projectId: number,
    rotation: { readonly oldId: string; readonly overlapMs: number; readonly key: NewSigningKey },
    actor: Actor,
  ): Promise<ShownSigningKey | undefined>;
  list(projectId: number): Promise<readonly ShownSigningKey[]>;
  delete(projectId: number, id: string, actor: Actor): Promise<ShownSigningKey | undefined>;
  /** Those of `v1a`, for anybody. */
  published(projectId: number): Promise<readonly ShownSigningKey[]>;
}

const store: readonly ErrorCode[] = ['bad_request', 'store_unavailable', 'commit_unknown'];
const withBody: readonly ErrorCode[] = [
  ...store,
  'invalid_json',
  'validation_failed',
  'body_too_large',
];
const keyPath: Parameters = { id: { description: 'Of the signing key.', schema: signingKeyId } };
const projectPath: Parameters = {
  project: {
    description: 'Number of the project.',
    schema: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, examples: [1] }),
  },
};

interface OfKey {
  readonly Params: { id: string };
}
interface Wish {
  readonly destination?: unknown;
  readonly scheme?: unknown;
  readonly secret?: unknown;
}

export function signingKeyRoutes(server: FastifyInstance, keys: SigningKeyService): void {
  async function tooMany(projectId: number, destination: string): Promise<BelfryError> {
    const live = (await keys.list(projectId)).filter((key) => key.destination === destination);
    return tooManySigningKeys(destination, live.length);
  }

  server.post<{ Body: Wish }>(
    '/signing-keys',
    {
      preValidation: optionalBody,
      ...described({
        operationId: 'createSigningKey',
        tag: 'signatures',
        scope: 'admin',
        summary:
          'Make a key that signs the deliveries of the project, or those to some destinations',
        description:
          'Within a second every attempt of the project bears `webhook-signature` (Standard Webhooks), with a signature of each of its keys: at most five. Keys of a `destination` sign what goes there in place of the others; at most five of each, of at most 200 destinations.',
        body: NewSigningKeyBody,
        isBodyOptional: true,
        answers: {
          201: { description: 'The key, its secret this once.', body: IssuedSigningKeyBody },
        },
        problems: [...withBody, 'secrets_not_configured', 'quota_exceeded'],
      }),
    },
    async (req, reply) => {
      const key = parseSigningKeyWish(req.body);
      if (!keys.isConfigured) throw notConfigured();
      const { projectId } = req.principal;
      const made = await keys.add(projectId, key, actorOf(req));
      if (made === undefined) throw await tooMany(projectId, key.destination);
      reply.code(201);
      return issuedBody(made, key);
    },
  );

  server.get(
    '/signing-keys',
    described({
      operationId: 'listSigningKeys',
      tag: 'signatures',
      scope: 'admin',
      summary: 'List the keys that sign the deliveries of the project',
      description: 'Their secrets are never shown.',
      answers: { 200: { description: 'Newest first.', body: SigningKeyListBody } },
      problems: store,
    }),
    async ({ principal }) => ({
      signing_keys: (await keys.list(principal.projectId)).map(keyBody),
    }),
  );

  server.post<OfKey & { Body: { overlap?: unknown; secret?: unknown } }>(
    '/signing-keys/:id/rotate',
    {
      preValidation: optionalBody,
      ...described({
        operationId: 'rotateSigningKey',
        tag: 'signatures',
        scope: 'admin',
        summary: 'Make another signing key in place of one',
        description:
          'Of the same scheme and destination. The old one signs along for `overlap`: receivers change over within that.',
        path: keyPath,
        body: RotateSigningKeyBody,
        isBodyOptional: true,
        answers: {
          201: { description: 'The new key, its secret this once.', body: IssuedSigningKeyBody },
        },
        problems: [
          ...withBody,
          'secrets_not_configured',
          'quota_exceeded',
          'signing_key_not_found',
        ],
      }),
    },
    async (req, reply) => {
      const { id: oldId } = req.params;
      const { overlap, secret } = req.body;
      const { projectId } = req.principal;
      const overlapMs = overlap === undefined ? overlapDefaultMs : parseSpan('overlap', overlap);
      const find = async () => {
        const found = (await keys.list(projectId)).find(({ id }) => id === oldId);
        if (found === undefined) throw keyNotFound(oldId);
        return found;
      };
      const { scheme, destination } = await find();
      const key = parseSigningKeyWish({ destination, scheme, secret });
      if (!keys.isConfigured) throw notConfigured();
      const made = await keys.rotate(projectId, { oldId, overlapMs, key }, actorOf(req));
      if (made === undefined) {
        await find();
        throw await tooMany(projectId, destination);
      }
      reply.code(201);
      return issuedBody(made, key);
    },
  );

  server.delete<OfKey>(
    '/signing-keys/:id',
    described({
      operationId: 'deleteSigningKey',
      tag: 'signatures',
      scope: 'admin',
      summary: 'Delete a signing key',
      description:
        'Within a second it signs no more; where a destination has no other, those of all destinations do, and without any, deliveries go out unsigned.',
      path: keyPath,
      answers: { 200: { description: 'It is deleted.', body: SigningKeyBody } },
      problems: [...withBody, 'signing_key_not_found'],
    }),
    async (req) => {
      const { id } = req.params;
      const deleted = isSigningKeyId(id)
        ? await keys.delete(req.principal.projectId, id, actorOf(req))
        : undefined;
      if (deleted === undefined) throw keyNotFound(id);
      return keyBody(deleted);
    },
  );

  server.get<{ Params: { project: string } }>(
    '/.well-known/belfry/:project/signing-keys',
    described({
      operationId: 'getPublishedKeys',
      tag: 'signatures',
      scope: null,
      summary: 'The public keys that receivers verify deliveries of a project with',
      description: 'Of `v1a`; at most about a second old. For anybody.',
      path: projectPath,
      answers: { 200: { description: 'Newest first.', body: PublishedKeysBody } },
      problems: [...store, 'signing_key_not_found'],
    }),
    async ({ params: { project } }) => {
      const published = /^[1-9]\d{0,14}$/.test(project)
        ? await keys.published(Number(project))
        : [];
      if (published.length === 0) {
        const what = `there is no public signing key of a project ${project.slice(0, 40)}`;
        throw new BelfryError('signing_key_not_found', what);
      }
      return {
        keys: published.map(keyBody).map(({ id, public_key, retires_at }) => ({
          id,
          public_key,
          retires_at,
        })),
      };
    },
  );
}

function keyNotFound(id: string): BelfryError {
  return new BelfryError('signing_key_not_found', `there is no signing key ${id.slice(0, 40)}`);
}

function notConfigured(): BelfryError {
  return new BelfryError('secrets_not_configured', `secret ${secretsNotConfigured}`, {
    fields: [{ field: 'secret', message: secretsNotConfigured }],
  });
}

function issuedBody(key: ShownSigningKey, { scheme, secret }: NewSigningKey) {
  return { ...keyBody(key), secret: scheme === 'v1' ? secret : null };
}

function keyBody({ id, destination, scheme, publicText, ...key }: ShownSigningKey) {
  return {
    id,
    destination,
    scheme,
    public_key: publicText,
    created_at: instantText(key.createdAtMs),
    retires_at: key.retiresAtMs === null ? null : instantText(key.retiresAtMs),
  };
}
