import { Type } from 'typebox';
import { countMax, rateBounds } from '../../core/limits.ts';
import { horizonSeconds, nullable, span } from './values.ts';

const { requestsMax, burstMax, perMsMax } = rateBounds;
const perMax = perMsMax / 1_000;

/** A rate as a request gives it; null takes it away. */
export const RateWish = Type.Union(
  [
    Type.Object(
      {
        requests: Type.Integer({ minimum: 1, maximum: requestsMax, description: 'So many.' }),
        per: Type.Optional(
          span({
            description: `In so long a time, 1 s to ${perMax} s. Default: a second.`,
            default: 1,
            secondsMax: perMax,
            isZeroTaken: false,
            examples: [60, 'PT1M'],
          }),
        ),
        burst: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: burstMax,
            description:
              'So many at once: at least what half a second brings. Default: as many as `requests`.',
          }),
        ),
      },
      { title: 'rate', additionalProperties: false },
    ),
    Type.Null({ title: 'none' }),
  ],
  {
    description: 'How often may be asked: a token bucket, for all processes together.',
    examples: [{ requests: 600, per: 60, burst: 50 }],
  },
);

/** A rate as answers have it. */
export const RateBody = Type.Object(
  {
    requests: Type.Integer({ minimum: 1 }),
    per: Type.Number({ description: 'Seconds.' }),
    burst: Type.Integer({ minimum: 1 }),
  },
  { additionalProperties: false },
);

const rate = { ...nullable(RateBody), description: 'Null: as often as they like.' };

const count = (description: string, minimum = 0, maximum = countMax) =>
  nullable(Type.Integer({ minimum, maximum, description }));

const quotas = {
  live_timers: count('Timers that wait or are being tried, at a time.'),
  creates_per_day: count("Timers created in a day of UTC, by the database's clock."),
  body_bytes: count('Bytes of the body of a timer.'),
  attempts: count('Attempts that a timer may ask for. One that does not gets no more.', 1, 100),
};

export const LimitsPatchBody = Type.Object(
  {
    rate: Type.Optional(RateWish),
    live_timers: Type.Optional(quotas.live_timers),
    creates_per_day: Type.Optional(quotas.creates_per_day),
    body_bytes: Type.Optional(quotas.body_bytes),
    attempts: Type.Optional(quotas.attempts),
    horizon: Type.Optional(
      Type.Union(
        [
          Type.Number({ title: 'seconds', minimum: 0, maximum: horizonSeconds }),
          Type.String({ title: 'ISO 8601 duration', minLength: 3, maxLength: 64 }),
          Type.Null({ title: 'none' }),
        ],
        { description: 'How far ahead a timer may be due.', examples: ['P30D'] },
      ),
    ),
  },
  { title: 'LimitsPatch', additionalProperties: false },
);

export const LimitsBody = Type.Object(
  {
    project: Type.Integer({ minimum: 1 }),
    rate,
    ...quotas,
    horizon: nullable(Type.Number({ description: 'Seconds.' })),
  },
  { title: 'Limits', additionalProperties: false },
);

export const TokenPatchBody = Type.Object(
  { rate: RateWish },
  { title: 'TokenPatch', additionalProperties: false },
);

const requests = (description: string) =>
  Type.Object(
    {
      limit: rate,
      remaining: nullable(
        Type.Integer({ minimum: 0, description: 'As far as this process knows; null: no limit.' }),
      ),
    },
    { description, additionalProperties: false },
  );

const used = <Schema extends Type.TSchema>(of: Schema, description: string) =>
  Type.Object(
    { limit: nullable(Type.Integer({ minimum: 0 })), used: of },
    { description, additionalProperties: false },
  );

export const UsageBody = Type.Object(
  {
    project: Type.Integer({ minimum: 1 }),
    requests: requests('Of the project.'),
    token_requests: requests('Of the token.'),
    live_timers: used(Type.Integer({ minimum: 0 }), 'Timers that wait or are being tried.'),
    creates_per_day: used(
      nullable(
        Type.Integer({ minimum: 0, description: 'Null: they are not counted without a limit.' }),
      ),
      'Timers created today (UTC).',
    ),
    body_bytes: quotas.body_bytes,
    attempts: quotas.attempts,
    horizon: nullable(Type.Number({ description: 'Seconds.' })),
  },
  { title: 'Usage', additionalProperties: false },
);
