import { Type } from 'typebox';
import { labelLengthMax, labelsMax, metadataBytesMax } from '../../core/annotations.ts';
import { horizonMs } from '../../core/due.ts';
import { headerBytesMax, headerValuesMax } from '../../core/requestHeaders.ts';
import { retriedMax } from '../../core/retryPolicy.ts';
import { secretHeaderNames } from '../../core/secretHeaders.ts';
import { secretUsesMax } from '../../core/secretTemplate.ts';
import { httpMethods } from '../../core/timer.ts';
import { atMostOne, retriedStatuses, span, wordOf } from './values.ts';

const clockField = (unit: string, unitMs: number) =>
  Type.Union(
    [
      Type.Number({ exclusiveMinimum: -1, exclusiveMaximum: horizonMs / unitMs + 1 }),
      Type.String({ pattern: String.raw`^\s*(\+?\d+|-0+)\s*$` }),
    ],
    {
      description: `${unit} until the timer is due, counted from its commit; added to the other two of hours, minutes and seconds, together at most 100 years. A whole number, or a string of one; a fraction is cut off toward zero (0.9 is 0): \`delay\` keeps fractions.`,
      examples: [5, '5'],
    },
  );

const headerValue = Type.String({ pattern: String.raw`^[\t\u0020-\u007e\u0080-\u00ff]*$` });

const RetryFields = Type.Object(
  {
    max_attempts: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: 'Attempts in all, the first included. Default: RETRY_MAX_ATTEMPTS (5).',
      }),
    ),
    base: Type.Optional(
      span({
        description:
          'Wait after the first failure, up to a day; at least 1 ms. Default: RETRY_BASE (5 s).',
        isZeroTaken: false,
        secondsMax: 86_400,
      }),
    ),
    factor: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 100,
        description:
          'Each further wait is this many times the one before. Default: RETRY_FACTOR (4).',
      }),
    ),
    cap: Type.Optional(
      span({
        description:
          'No wait is longer than this (before jitter), up to 365 days. Default: RETRY_CAP (6 h).',
        isZeroTaken: false,
        secondsMax: 31_536_000,
      }),
    ),
    jitter: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description:
          'Share by which a wait is moved at random, both ways: 0.2 is ±20 %. Default: RETRY_JITTER (0.2).',
      }),
    ),
    max_age: Type.Optional(
      span({
        description:
          'No attempt starts later than this after the timer was due. Default: RETRY_MAX_AGE (not set: no such bound).',
      }),
    ),
    on: Type.Optional(
      retriedStatuses({
        description:
          'Of the responses, these alone lead to another attempt; what gets no response is always tried again. Left out for all.',
        maxItems: retriedMax,
        examples: [['5xx', 429]],
      }),
    ),
  },
  {
    title: 'RetryFields',
    additionalProperties: false,
    description:
      'How failed attempts are repeated. What is left out is as the settings of the service say.',
    examples: [{ max_attempts: 8, base: 2, cap: 'PT1H' }],
  },
);

/** What a timer calls with, and what it is remembered by. */
const requestFields = {
  method: Type.Optional(wordOf(httpMethods, { description: 'Default: POST. GET takes no body.' })),
  headers: Type.Optional(
    Type.Record(
      Type.String(),
      Type.Union([headerValue, Type.Array(headerValue, { maxItems: headerValuesMax })]),
      {
        propertyNames: { pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
        description: `Headers of the call: name → value, or a list of values for one that is sent several times. At most ${headerValuesMax} values and ${headerBytesMax} bytes in all; Latin-1 without controls. Refused, also with underscores for hyphens: what frames the message (connection, content-length, expect, host, http2-settings, keep-alive, te, trailer, transfer-encoding, upgrade), what says on whose behalf it came (forwarded, via, x-forwarded-*, x-real-ip and their like, proxy-*), cookie2, and what Belfry sets (webhook-*, belfry-*). A value may hold \`{{secret:name}}\`: the project's secret of that name, as it is at each attempt; at most ${secretUsesMax} in a timer.`,
        examples: [{ authorization: 'Bearer s3cret', 'x-trace': ['a', 'b'] }],
      },
    ),
  ),
  secret_headers: Type.Optional(
    Type.Array(Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" }), {
      description: `Those of \`headers\` whose values are secret: kept encrypted, and never shown. ${secretHeaderNames.join(', ')} always are.`,
      examples: [['x-signing-key']],
    }),
  ),
  body: Type.Optional(
    Type.String({ description: 'Body of the call as text, sent as UTF-8.', examples: ['hello'] }),
  ),
  body_base64: Type.Optional(
    Type.String({
      contentEncoding: 'base64',
      pattern: '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
      description: 'Body of the call as bytes: padded base64 (RFC 4648).',
      examples: ['AQL/'],
    }),
  ),
  json: Type.Optional(
    Type.Unknown({
      description:
        'Body of the call as any JSON value; brings `content-type: application/json` along, unless `headers` says otherwise.',
      examples: [{ order: 17 }],
    }),
  ),
  append_id: Type.Optional(
    Type.Boolean({
      default: true,
      description:
        "Whether the timer's id follows the path of `url` (whose query and fragment are then dropped). false calls `url` as given.",
    }),
  ),
  timeout: Type.Optional(
    span({
      description:
        'Deadline of one attempt, from connecting to the end of the response; at most MAX_TIMEOUT (900 s). Default: WEBHOOK_TIMEOUT (3 s).',
      isZeroTaken: false,
      examples: [10, 'PT1M'],
    }),
  ),
  retry: Type.Optional(RetryFields),
  labels: Type.Optional(
    Type.Array(
      Type.String({
        minLength: 1,
        maxLength: labelLengthMax,
        pattern: String.raw`^[^\u0000-\u001f\u007f]*$`,
      }),
      {
        maxItems: labelsMax,
        uniqueItems: true,
        description: 'Words to find the timer by. Never sent.',
        examples: [['trial', 'tenant:7']],
      },
    ),
  ),
  metadata: Type.Optional(
    Type.Unknown({
      description: `Any JSON value of at most ${metadataBytesMax} bytes, without NUL characters; kept and shown, never sent.`,
      examples: [{ order: 17 }],
    }),
  ),
};

/** The fields that say when, of which a request has those of one way. */
export const dueFields = {
  hours: Type.Optional(clockField('Hours', 3_600_000)),
  minutes: Type.Optional(clockField('Minutes', 60_000)),
  seconds: Type.Optional(clockField('Seconds', 1_000)),
  delay: Type.Optional(
    span({
      description:
        'Time until the timer is due, counted from its commit: seconds with fractions, or an ISO 8601 duration of weeks, days, hours, minutes and seconds; rounded up to whole milliseconds, at most 100 years.',
      examples: [1.5, 'PT1.5S', 'P30D'],
    }),
  ),
  due_at: Type.Optional(
    Type.String({
      format: 'date-time',
      maxLength: 64,
      description:
        'Instant at which the timer is due: RFC 3339, with an offset. Digits finer than a millisecond round up; one that is past means now; at most 100 years ahead.',
      examples: ['2030-01-31T12:00:00.250Z', '2030-01-31T14:00:00+02:00'],
    }),
  ),
};

const url = Type.String({
  pattern: String.raw`^[Hh][Tt][Tt][Pp][Ss]?://[^/?#\\@\u0000-\u0020\u007f]+([/?#][^\\\u0000-\u0020\u007f]*)?$`,
  description:
    'What is called: an absolute http or https URL with a host and without credentials, of at most MAX_URL_LENGTH (200) characters. Its host must be public unless the operator allowed it (ALLOW_TARGETS). Its path and query may hold `{{secret:name}}`, as headers may.',
  examples: ['https://example.com/hooks/trial-ended'],
});

/** The body of `POST /timers`, and each timer of a batch. */
export const NewTimerBody = Type.Object(
  {
    url,
    ...dueFields,
    expires_after: Type.Optional(
      span({
        description:
          'How long after it was due the timer may still start an attempt; then it fails as `expired`. Default: for ever.',
        isZeroTaken: false,
        examples: [3_600, 'PT1H'],
      }),
    ),
    ...requestFields,
  },
  {
    title: 'NewTimer',
    additionalProperties: false,
    description: 'What to call, and when. Says nothing about when: at once.',
    allOf: [
      atMostOne(
        'One way of saying when: hours, minutes and seconds together, or delay, or due_at.',
        [['hours', 'minutes', 'seconds'], ['delay'], ['due_at']],
      ),
      atMostOne('One body at the most.', [['body'], ['body_base64'], ['json']]),
      {
        description: 'GET takes no body.',
        not: {
          properties: { method: { const: 'GET' } },
          required: ['method'],
          anyOf: [{ required: ['body'] }, { required: ['body_base64'] }, { required: ['json'] }],
        },
      },
    ],
    examples: [
      { url: 'https://example.com/hooks/trial-ended', delay: 'P14D', json: { account: 17 } },
      { url: 'https://example.com/hooks/reminder', seconds: 5 },
    ],
  },
);
