import { Type } from 'typebox';
import { everyDestination, patternLengthMax } from '../../core/destinationPattern.ts';
import { signatureSchemes, signingKeyIdPattern } from '../../core/signingKey.ts';
import { instant, nullable, span, wordOf } from './values.ts';

export const signingKeyId = Type.String({
  pattern: signingKeyIdPattern,
  description: 'Not secret.',
  examples: ['0123456789abcdef'],
});

const schemes =
  'v1: HMAC-SHA256 with a secret that the receiver has as well; v1a: Ed25519, the receiver needs the public key only.';
const scheme = wordOf(signatureSchemes, { description: schemes });

const verifies = 'What receivers verify with: `whpk_` and base64.';
const publicKey = Type.String({
  description: verifies,
  examples: ['whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='],
});

const secretWish = Type.String({
  pattern: '^(whsec_[A-Za-z0-9+/]{32,86}|whsk_[A-Za-z0-9+/]{43,86})={0,2}$',
  description:
    'Your own: `whsec_` and base64 of 24 to 64 bytes (v1), or `whsk_` and base64 of the 32 bytes of an Ed25519 seed, the public key behind it or not (v1a). Default: a new random one.',
  examples: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
});

export const NewSigningKeyBody = Type.Object(
  {
    destination: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: patternLengthMax,
        description: `The destinations that it is for, as in their settings: \`host\`, \`host:port\`, \`*.host\` or \`*\`. What goes there is signed with the keys of the most specific pattern that has any, and with no others. Default: \`*\`, all.`,
        default: everyDestination,
        examples: ['api.example.com'],
      }),
    ),
    scheme: Type.Optional({
      ...scheme,
      description: `${schemes} Default: that of \`secret\`, or v1.`,
    }),
    secret: Type.Optional(secretWish),
  },
  {
    title: 'NewSigningKey',
    additionalProperties: false,
    examples: [{}, { scheme: 'v1a' }, { destination: 'api.example.com' }],
  },
);

export const RotateSigningKeyBody = Type.Object(
  {
    overlap: Type.Optional(
      span({
        description: 'So long the old one signs along. Default: a day.',
        default: 86_400,
        examples: ['P7D', 0],
      }),
    ),
    secret: Type.Optional(secretWish),
  },
  { title: 'RotateSigningKey', additionalProperties: false, examples: [{}] },
);

const keyFields = {
  id: signingKeyId,
  destination: Type.String({
    description: 'A pattern, as it is spelt in targets: what goes there is signed with it.',
    examples: [everyDestination],
  }),
  scheme,
  public_key: { ...nullable(publicKey), description: `${verifies} null of v1.` },
  created_at: instant('When it was made.'),
  retires_at: nullable(instant('When it stops signing; null: it does not.')),
};

export const SigningKeyBody = Type.Object(keyFields, {
  title: 'SigningKey',
  additionalProperties: false,
  description: 'A signing key without its secret.',
});

export const IssuedSigningKeyBody = Type.Object(
  {
    ...keyFields,
    secret: nullable(
      Type.String({
        description:
          'Of v1, what receivers verify with. Shown this once. null of v1a, whose secret leaves the service never.',
        examples: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
      }),
    ),
  },
  { title: 'IssuedSigningKey', additionalProperties: false },
);

export const SigningKeyListBody = Type.Object(
  { signing_keys: Type.Array(SigningKeyBody) },
  { title: 'SigningKeyList', additionalProperties: false },
);

export const PublishedKeysBody = Type.Object(
  {
    keys: Type.Array(
      Type.Object(
        {
          id: signingKeyId,
          public_key: publicKey,
          retires_at: keyFields.retires_at,
        },
        { title: 'PublishedKey', additionalProperties: false },
      ),
    ),
  },
  { title: 'PublishedKeys', additionalProperties: false },
);
