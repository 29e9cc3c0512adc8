import { Type } from 'typebox';
import { rateSpans, type DestinationRate } from '../../core/destination.ts';
import { patternLengthMax } from '../../core/destinationPattern.ts';
import { pemLengthMax } from '../../core/tlsIdentity.ts';
import { NewTimerBody } from './newTimer.ts';
import { instant, nullable, span, wordOf } from './values.ts';

export const concurrencyBound = 10_000;
export const rateCountMax = 1_000_000;

const { headers, secret_headers } = NewTimerBody.properties;
const spans = Object.keys(rateSpans).filter((name): name is DestinationRate['per'] =>
  Object.hasOwn(rateSpans, name),
);

export const destinationPatternSchema = Type.String({
  minLength: 1,
  maxLength: patternLengthMax,
  description:
    'URL-encoded: a host, `host:port`, `*.host` (every name below it, not itself) or `*`. Of those that match a target the most specific holds, alone: with the port, the host, the longest `*.`, `*`.',
  examples: ['api.example.com', '*.example.com'],
});

const rate = Type.Object(
  {
    count: Type.Integer({ minimum: 1, maximum: rateCountMax }),
    per: wordOf(spans, { description: 'In so long.' }),
  },
  { additionalProperties: false, examples: [{ count: 10, per: 'second' }] },
);

const pem = (description: string) =>
  Type.Optional(
    nullable(Type.String({ maxLength: pemLengthMax, description: `PEM. ${description}` })),
  );

const settings = {
  concurrency: Type.Optional(
    nullable(
      Type.Integer({
        minimum: 1,
        maximum: concurrencyBound,
        description: 'Attempts under way at once, in all processes. Default: no such bound.',
      }),
    ),
  ),
  rate: Type.Optional({
    ...nullable(rate),
    description: 'Attempts in a time, in all processes. Default: no such bound.',
  }),
  timeout: Type.Optional(
    Type.Union(
      [
        span({ description: 'At most MAX_TIMEOUT (900 s).', isZeroTaken: false }),
        Type.Null({ title: 'none' }),
      ],
      {
        description:
          'Deadline of an attempt, for timers that say none. Default: WEBHOOK_TIMEOUT (3 s).',
        examples: [10, 'PT1M'],
      },
    ),
  ),
  headers: Type.Optional(
    Type.Union([headers, Type.Null({ title: 'none' })], {
      description:
        'Sent where the timer has none of that name; by the rules for those of a timer. In place of a secret value that is there, `[secret]` leaves it as it is.',
    }),
  ),
  secret_headers,
  tls: Type.Optional({
    ...nullable(
      Type.Object(
        {
          certificate: pem(
            'What Belfry shows to the receiver, with those that lead from it to an authority. Goes with `key`.',
          ),
          key: pem(
            'Of the certificate, without a passphrase: RSA of 2,048 to 4,096 bits, ECDSA over P-256, P-384 or P-521, or Ed25519. Kept encrypted, never shown.',
          ),
          ca: pem(
            "Authorities that the receiver's certificate must come from, in place of the public ones.",
          ),
        },
        { additionalProperties: false },
      ),
    ),
    description: 'Mutual TLS. Replaced as a whole.',
  }),
};

export const DestinationWishBody = Type.Object(settings, {
  title: 'DestinationWish',
  additionalProperties: false,
  description: 'What is not given, or null, is not set.',
  examples: [{ concurrency: 5, rate: { count: 100, per: 'minute' }, timeout: 10 }],
});

export const DestinationPatchBody = Type.Object(settings, {
  title: 'DestinationPatch',
  additionalProperties: false,
  minProperties: 1,
  description: 'What is not given stays as it is; null takes it away.',
  examples: [{ timeout: 30, rate: null }],
});

const certificate = Type.Object(
  {
    subject: Type.String(),
    fingerprint: Type.String({ description: 'SHA-256.' }),
    expires_at: instant('From then on it is no good.'),
  },
  { additionalProperties: false },
);

export const DestinationBody = Type.Object(
  {
    pattern: Type.String({ description: 'As it is spelt in targets.' }),
    version: Type.Integer({ minimum: 1 }),
    concurrency: nullable(Type.Integer({ minimum: 1 })),
    rate: nullable(rate),
    timeout: nullable(Type.Number({ description: 'Seconds.' })),
    headers: nullable(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String())])),
    ),
    secret_headers: Type.Array(Type.String(), {
      description: 'Those whose value is not shown: `[secret]` stands for it.',
    }),
    tls: nullable(
      Type.Object(
        { certificate: nullable(certificate), ca: Type.Array(certificate) },
        { additionalProperties: false, description: 'Without the key.' },
      ),
    ),
    is_paused: Type.Boolean({ description: 'Nothing starts until it is resumed.' }),
    created_at: instant('When it was first set.'),
    changed_at: instant('When it was changed last.'),
  },
  { title: 'Destination', additionalProperties: false },
);

export const DestinationListBody = Type.Object(
  { destinations: Type.Array(DestinationBody) },
  { title: 'DestinationList', additionalProperties: false },
);
