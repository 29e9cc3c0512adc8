import type { FastifyInstance } from 'fastify';
import type { Actor, Deed } from '../../core/audit.ts';
import { BelfryError, invalidField, type ErrorCode } from '../../core/errors.ts';
import { instantText } from '../../core/instant.ts';
import { secretsNotConfigured } from '../../core/secretHeaders.ts';
import {
  parseRotationCursor,
  rotationCursor,
  type RotationProgress,
  type RotationState,
} from '../../core/secretRotation.ts';
import { isSecretName, parseSecretValue, secretNamePattern } from '../../core/secretTemplate.ts';
import { described, type Parameters } from '../openapi/operation.ts';
import {
  RotateSecretsBody,
  RotationBody,
  SecretBody,
  SecretListBody,
  secretName,
  SecretValueBody,
} from '../schemas/secret.ts';
import { actorOf, optionalBody } from './request.ts';

/** A named secret as routes show it. Instants in milliseconds of the Unix epoch. */
export interface ShownSecret {
  readonly name: string;
  readonly keyId: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** What the routes about named secrets need of the rest of the service. */
export interface SecretService {
  readonly secrets: {
    /** Whether values can be kept: otherwise `set` is not called. */
    readonly isConfigured: boolean;
    set(
      secret: { readonly projectId: number; readonly name: string; readonly value: string },
      actor: Actor,
    ): Promise<{ readonly secret: ShownSecret; readonly isNew: boolean }>;
    list(projectId: number): Promise<readonly ShownSecret[]>;
    delete(projectId: number, name: string, actor: Actor): Promise<ShownSecret | undefined>;
    rotate(from: RotationState): Promise<RotationProgress | undefined>;
  };
  readonly audit: { record(projectId: number, actor: Actor, deed: Deed): Promise<void> };
}

const store: readonly ErrorCode[] = ['bad_request', 'store_unavailable', 'commit_unknown'];
const withBody: readonly ErrorCode[] = [
  ...store,
  'invalid_json',
  'validation_failed',
  'body_too_large',
];
const secretPath: Parameters = { name: { description: 'Of the secret.', schema: secretName } };

interface Named {
  readonly Params: { name: string };
}

export function secretRoutes(server: FastifyInstance, { secrets, audit }: SecretService): void {
  server.put<Named & { Body: { value?: unknown } }>(
    '/secrets/:name',
    described({
      operationId: 'setSecret',
      tag: 'secrets',
      scope: 'admin',
      summary: 'Create or replace a secret of the project',
      description:
        'What `{{secret:name}}` in the headers, path and query of timers stands for at each attempt: within a second the new value, also in timers that were created before.',
      path: secretPath,
      body: SecretValueBody,
      answers: {
        200: { description: 'It is replaced.', body: SecretBody },
        201: { description: 'It is new.', body: SecretBody },
      },
      problems: [...withBody, 'secrets_not_configured'],
    }),
    async (req, reply) => {
      const name = parseSecretName(req.params.name);
      const value = parseSecretValue(req.body.value);
      if (!secrets.isConfigured) throw notConfigured('value');
      const { projectId } = req.principal;
      const { secret, isNew } = await secrets.set({ projectId, name, value }, actorOf(req));
      reply.code(isNew ? 201 : 200);
      return secretBody(secret);
    },
  );

  server.get(
    '/secrets',
    described({
      operationId: 'listSecrets',
      tag: 'secrets',
      scope: 'admin',
      summary: 'List the secrets of the project',
      description: 'Their values are never shown.',
      answers: { 200: { description: 'By name.', body: SecretListBody } },
      problems: store,
    }),
    async ({ principal }) => ({
      secrets: (await secrets.list(principal.projectId)).map(secretBody),
    }),
  );

  server.delete<Named>(
    '/secrets/:name',
    described({
      operationId: 'deleteSecret',
      tag: 'secrets',
      scope: 'admin',
      summary: 'Delete a secret of the project',
      description:
        'Within a second, attempts of timers that use it fail as `secret_missing`, and are repeated as others are.',
      path: secretPath,
      answers: { 200: { description: 'It is deleted.', body: SecretBody } },
      problems: [...withBody, 'secret_not_found'],
    }),
    async (req) => {
      const { name } = req.params;
      const deleted = isSecretName(name)
        ? await secrets.delete(req.principal.projectId, name, actorOf(req))
        : undefined;
      if (deleted === undefined) {
        throw new BelfryError('secret_not_found', `there is no secret ${name.slice(0, 80)}`);
      }
      return secretBody(deleted);
    },
  );

  server.post<{ Body: { cursor?: unknown } }>(
    '/secrets/rotate',
    {
      preValidation: optionalBody,
      ...described({
        operationId: 'rotateSecrets',
        tag: 'secrets',
        scope: 'operator',
        summary: 'Encrypt everything with the first key of SECRET_KEYS',
        description:
          'Named secrets and the secret headers of all timers of all projects, those of before there was a key as well. In steps of about a second: again with the cursor of the answer until `done`.',
        body: RotateSecretsBody,
        isBodyOptional: true,
        answers: { 200: { description: 'How far it has come.', body: RotationBody } },
        problems: [...withBody, 'secrets_not_configured'],
      }),
    },
    async (req) => {
      const from = parseRotationCursor(req.body.cursor);
      if (!secrets.isConfigured) throw notConfigured('cursor');
      if (req.body.cursor === undefined) {
        const deed = { action: 'secrets.rotate', target: '', detail: {} } as const;
        await audit.record(req.principal.projectId, actorOf(req), deed);
      }
      const progress = await secrets.rotate(from);
      if (progress === undefined) throw notConfigured('cursor');
      const { examined, changed, left, next, keyId, retiredKeyIds } = progress;
      return {
        done: next === null,
        examined,
        changed,
        left,
        key_id: keyId,
        retired_key_ids: retiredKeyIds,
        cursor: next === null ? null : rotationCursor(next),
      };
    },
  );
}

function parseSecretName(name: string): string {
  if (!isSecretName(name)) throw invalidField('name', `must match ${secretNamePattern}`);
  return name;
}

function notConfigured(field: string): BelfryError {
  return new BelfryError('secrets_not_configured', `${field} ${secretsNotConfigured}`, {
    fields: [{ field, message: secretsNotConfigured }],
  });
}

function secretBody({ name, keyId, createdAtMs, updatedAtMs }: ShownSecret) {
  return {
    name,
    key_id: keyId,
    created_at: instantText(createdAtMs),
    updated_at: instantText(updatedAtMs),
  };
}
