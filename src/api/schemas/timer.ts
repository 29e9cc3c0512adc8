import { Type } from 'typebox';
import type { FailureCode } from '../../core/attempt.ts';
import { httpMethods } from '../../core/timer.ts';
import { AttemptBody } from './attempt.ts';
import { instant, nullable, retriedStatuses, wordOf } from './values.ts';

const id = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'Number of the timer: 1, 2, 3, … below 2^53.',
  examples: [42],
});

const timeLeft = Type.Number({
  minimum: 0,
  description: "Seconds until it is due by the database's clock; 0 once it is due or finished.",
  examples: [4.998],
});

export const statusWord = wordOf(
  ['pending', 'delivering', 'retrying', 'succeeded', 'failed', 'cancelled'],
  {
    description:
      'pending: not attempted yet; delivering: an attempt is under way; retrying: waits for another attempt; succeeded, failed, cancelled: finished.',
  },
);

const expiresAt = nullable(instant('No attempt starts after it; null for never too late.'));
const dueAt = instant('When the timer is due.');
const createdAt = instant('When it was committed.');
const url = Type.String({
  description: 'What is called, as it was given.',
  examples: ['https://example.com/hooks/trial-ended'],
});

export const CreatedTimerBody = Type.Object(
  {
    id,
    time_left: timeLeft,
    status: Type.Literal('pending'),
    url,
    due_at: dueAt,
    created_at: createdAt,
    expires_at: expiresAt,
  },
  { title: 'CreatedTimer' },
);

const RetryPolicyBody = Type.Object(
  {
    max_attempts: Type.Integer({ description: 'Attempts in all.' }),
    base: Type.Number({ description: 'Seconds to wait after the first failure.' }),
    factor: Type.Number({ description: 'Each further wait is this many times the one before.' }),
    cap: Type.Number({ description: 'Seconds that a wait is at most, before jitter.' }),
    jitter: Type.Number({ description: 'Share by which a wait is moved at random, both ways.' }),
    max_age: nullable(
      Type.Number({
        description:
          'No attempt starts later than so many seconds after due_at; null: no such bound.',
      }),
    ),
    on: Type.Optional(
      retriedStatuses({
        description: 'Of the responses, these alone lead to another attempt; left out for all.',
      }),
    ),
  },
  { title: 'RetryPolicy', description: 'How failed attempts are repeated.' },
);

export const failureCodes = [
  'attempts_exhausted',
  'too_old',
  'declined',
  'status_not_retried',
  'gone',
  'expired',
  'attempts_lost',
  'unprocessable',
] as const satisfies readonly FailureCode[];

/** What a timer and its summary have in common. */
const stateFields = {
  id,
  version: Type.Integer({
    minimum: 1,
    description: 'Counts what callers have changed of it, from 1: its ETag.',
  }),
  key: nullable(Type.String({ description: 'Its name, when it was put by one; null for none.' })),
  time_left: timeLeft,
  status: statusWord,
  url,
  method: wordOf(httpMethods, { description: 'Method of the call.' }),
  headers: nullable(
    Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String())]), {
      description:
        'Headers of the call by their names in lower case; null for none. The values of secret ones are not shown: `[secret]` stands in their place.',
    }),
  ),
  secret_headers: Type.Array(Type.String(), {
    description: 'Names of the headers that are secret.',
  }),
  append_id: Type.Boolean({ description: 'Whether the id follows the path of url.' }),
  timeout: nullable(
    Type.Number({
      description: 'Seconds that one attempt may take; null: as WEBHOOK_TIMEOUT says.',
    }),
  ),
  retry: Type.Union([RetryPolicyBody, Type.Null()], {
    description: 'Null: as the settings of the service say.',
  }),
  labels: Type.Array(Type.String(), { description: 'Words to find it by.' }),
  metadata: Type.Unknown({ description: 'Any JSON value that was given; null for none.' }),
  due_at: dueAt,
  created_at: createdAt,
  expires_at: expiresAt,
  next_attempt_at: nullable(instant('When the next attempt is due; null once finished.')),
  finished_at: nullable(instant('When it was finished; null until then.')),
  failure_code: nullable(
    wordOf(failureCodes, {
      description:
        'Why it failed; null when it did not. attempts_exhausted: no attempt succeeded; too_old: the next one would have come after retry.max_age; gone: the receiver answered 410; declined: it answered with `belfry-retry: no`; status_not_retried: its status is not one of retry.on; expired: it could not start before expires_at; attempts_lost: its process died in three attempts in a row; unprocessable: nothing could be sent, for a reason that an operator has to mend (error_code of its attempts).',
    }),
  ),
  defect: Type.Optional(
    Type.String({
      description:
        'What of it is not as the service writes it, where something in the database was damaged: nothing is sent of it, and what it says is shown as null or left out. As a rule there is none.',
    }),
  ),
};

export const TimerBody = Type.Object(
  {
    ...stateFields,
    body: Type.Optional(Type.String({ description: 'Body of the call, where it is UTF-8 text.' })),
    body_base64: Type.Optional(
      Type.String({ description: 'Body of the call in base64, where it is not UTF-8 text.' }),
    ),
    attempts: Type.Array(AttemptBody, { description: 'Every attempt so far, in order.' }),
  },
  { title: 'Timer' },
);

export const CancelledTimerBody = Type.Object(
  { id, status: Type.Literal('cancelled') },
  { title: 'CancelledTimer' },
);

export const PutTimerBody = Type.Object(
  {
    ...TimerBody.properties,
    previous: Type.Optional(
      Type.Object(
        { id, status: statusWord },
        { description: 'The timer that had the name until now: it is being delivered.' },
      ),
    ),
  },
  { title: 'PutTimer' },
);

/** A timer in a list. */
export const TimerSummaryBody = Type.Object(
  {
    ...stateFields,
    attempt_count: Type.Integer({ minimum: 0, description: 'Attempts so far.' }),
    body_bytes: nullable(
      Type.Integer({ minimum: 0, description: 'Length of the body of the call; null for none.' }),
    ),
  },
  { title: 'TimerSummary', description: 'A timer without its body and its attempts.' },
);
