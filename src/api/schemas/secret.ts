import { Type } from 'typebox';
import { secretLengthMax, secretNamePattern } from '../../core/secretTemplate.ts';
import { instant, nullable } from './values.ts';

export const secretName = Type.String({
  pattern: secretNamePattern,
  description: 'What `{{secret:name}}` calls it.',
  examples: ['stripe-key'],
});

export const SecretValueBody = Type.Object(
  {
    value: Type.String({
      minLength: 1,
      maxLength: secretLengthMax,
      pattern: String.raw`^[\t\u0020-\u007e\u0080-\u00ff]*$`,
      description: 'Latin-1 without line breaks and other controls. It is never shown again.',
      examples: ['sk_live_0123456789'],
    }),
  },
  { title: 'SecretValue', additionalProperties: false },
);

export const SecretBody = Type.Object(
  {
    name: secretName,
    key_id: Type.String({ description: 'Of the key in SECRET_KEYS that it is encrypted with.' }),
    created_at: instant('When it was first set.'),
    updated_at: instant('When its value was set last.'),
  },
  { title: 'Secret', additionalProperties: false, description: 'A secret without its value.' },
);

export const SecretListBody = Type.Object(
  { secrets: Type.Array(SecretBody) },
  { title: 'SecretList', additionalProperties: false },
);

export const RotateSecretsBody = Type.Object(
  {
    cursor: Type.Optional(
      Type.String({
        pattern: String.raw`^([0-4])\.(\d{1,15})\.(\d{1,15})\.([a-z0-9_-]{0,64})$`,
        description: 'Of the answer before; none: from the beginning.',
        examples: ['1.0.0.42'],
      }),
    ),
  },
  { title: 'RotateSecrets', additionalProperties: false, examples: [{}] },
);

export const RotationBody = Type.Object(
  {
    done: Type.Boolean({ description: 'Whether all has been looked at.' }),
    examined: Type.Integer({ minimum: 0, description: 'Rows looked at in this step.' }),
    changed: Type.Integer({ minimum: 0, description: 'Rows encrypted anew in this step.' }),
    left: Type.Integer({
      minimum: 0,
      description:
        'Rows of the whole rotation that are as they were: changed by others meanwhile, or not to be decrypted. Where there are any, rotate once more.',
    }),
    key_id: Type.String({ description: 'The first key: all is to be under it.' }),
    retired_key_ids: Type.Array(Type.String(), {
      description: 'Keys that nothing is encrypted with any more: SECRET_KEYS may lose them.',
    }),
    cursor: nullable(Type.String({ description: 'Where to go on; null when it is done.' })),
  },
  { title: 'SecretRotation', additionalProperties: false },
);
