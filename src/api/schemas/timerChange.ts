import { Type } from 'typebox';
import { dueFields, NewTimerBody } from './newTimer.ts';

const { url, method, append_id, body_base64, json, secret_headers, ...clearable } =
  NewTimerBody.properties;
const { hours, minutes, seconds, delay, due_at, ...others } = clearable;

const orNull = <Schema extends Type.TSchema>(schema: Schema) =>
  Type.Optional(
    Type.Union([schema, Type.Null()], { description: 'As at creation; null: none any more.' }),
  );

/** The body of `PATCH /timers/{id}`: as at creation, whatever is to change. */
export const PatchTimerBody = Type.Object(
  {
    url: Type.Optional(url),
    hours,
    minutes,
    seconds,
    delay,
    due_at,
    method,
    append_id,
    body_base64,
    json,
    body: orNull(others.body),
    headers: orNull(others.headers),
    secret_headers,
    timeout: orNull(others.timeout),
    retry: orNull(others.retry),
    labels: orNull(others.labels),
    metadata: others.metadata,
    expires_after: orNull(others.expires_after),
  },
  {
    title: 'TimerPatch',
    additionalProperties: false,
    minProperties: 1,
    description:
      'What is to change; the rest stays. `headers` are replaced as a whole: in place of a secret value that the timer has, `[secret]` leaves it as it is. A new instant moves what expires along. Failures so far go on counting.',
    examples: [{ delay: 'PT30M' }, { due_at: '2030-01-31T12:00:00Z', labels: ['moved'] }],
  },
);

/** The body of `POST /timers/{id}/retry`, which may be left out: then it is due at once. */
export const RetryTimerBody = Type.Object(dueFields, {
  title: 'RetryTimer',
  additionalProperties: false,
  description: 'When it is due again; nothing: at once.',
  examples: [{ delay: 60 }],
});

/** For routes that take nothing. */
export const NothingBody = Type.Object(
  {},
  { title: 'Nothing', additionalProperties: false, examples: [{}] },
);
