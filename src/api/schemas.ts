import { Type, type Static } from 'typebox';

const Instant = Type.String({ format: 'date-time' });
const nullable = <Schema extends Type.TSchema>(schema: Schema) => Type.Union([schema, Type.Null()]);

/**
 * The body of `POST /timers`. Its fields are read by core, whose messages say what each takes and
 * which casts time more permissively than a schema can say; what is not listed is refused.
 */
export const CreateTimerBody = Type.Object(
  {
    url: Type.Unknown(),
    hours: Type.Unknown(),
    minutes: Type.Unknown(),
    seconds: Type.Unknown(),
    delay: Type.Unknown(),
    due_at: Type.Unknown(),
    expires_after: Type.Unknown(),
    append_id: Type.Boolean(),
    method: Type.Unknown(),
    headers: Type.Unknown(),
    body: Type.Unknown(),
    body_base64: Type.Unknown(),
    json: Type.Unknown(),
    timeout: Type.Unknown(),
    retry: Type.Unknown(),
    labels: Type.Unknown(),
    metadata: Type.Unknown(),
  },
  { additionalProperties: false, required: [] },
);

export const CreatedTimerBody = Type.Object({
  id: Type.Integer(),
  time_left: Type.Number(),
  status: Type.Literal('pending'),
  url: Type.String(),
  due_at: Instant,
  created_at: Instant,
  expires_at: nullable(Instant),
});

export const AttemptBody = Type.Object({
  number: Type.Integer(),
  started_at: nullable(Instant),
  lateness_ms: nullable(Type.Number()),
  duration_ms: nullable(Type.Number()),
  status: nullable(Type.Integer()),
  error_code: nullable(Type.String()),
  lost: Type.Boolean(),
});

export const AttemptsBody = Type.Object({
  attempts: Type.Array(
    Type.Intersect([
      AttemptBody,
      Type.Object({
        response_headers: nullable(Type.Record(Type.String(), Type.String())),
        response_bytes: nullable(Type.Integer()),
        response_body: Type.Optional(Type.String()),
        response_body_base64: Type.Optional(Type.String()),
      }),
    ]),
  ),
});

const RetryBody = Type.Object({
  max_attempts: Type.Integer(),
  base: Type.Number(),
  factor: Type.Number(),
  cap: Type.Number(),
  jitter: Type.Number(),
  max_age: nullable(Type.Number()),
});

const HeadersBody = Type.Record(
  Type.String(),
  Type.Union([Type.String(), Type.Array(Type.String())]),
);

/** What `TimerBody` and `TimerSummaryBody` have in common. */
const stateFields = {
  id: Type.Integer(),
  time_left: Type.Number(),
  status: Type.String(),
  url: Type.String(),
  method: Type.String(),
  headers: nullable(HeadersBody),
  append_id: Type.Boolean(),
  timeout: nullable(Type.Number()),
  retry: nullable(RetryBody),
  labels: Type.Array(Type.String()),
  metadata: Type.Unknown(),
  due_at: Instant,
  created_at: Instant,
  expires_at: nullable(Instant),
  next_attempt_at: nullable(Instant),
  finished_at: nullable(Instant),
  failure_code: nullable(Type.String()),
};

export const TimerBody = Type.Object({
  ...stateFields,
  body: Type.Optional(Type.String()),
  body_base64: Type.Optional(Type.String()),
  attempts: Type.Array(AttemptBody),
});

/** A timer in a list: without its body and its attempts. */
export const TimerSummaryBody = Type.Object({
  ...stateFields,
  version: Type.Integer(),
  key: nullable(Type.String()),
  attempt_count: Type.Integer(),
  body_bytes: nullable(Type.Integer()),
});

export const TimerListBody = Type.Object({
  timers: Type.Array(TimerSummaryBody),
  next: nullable(Type.String()),
});

/** Which timers are meant. Read by core/timerFilter.ts, which says what each field takes. */
const filterFields = {
  status: Type.Unknown(),
  label: Type.Unknown(),
  host: Type.Unknown(),
  key: Type.Unknown(),
  url_prefix: Type.Unknown(),
  due_after: Type.Unknown(),
  due_before: Type.Unknown(),
  created_after: Type.Unknown(),
  created_before: Type.Unknown(),
};

export const TimerListQuery = Type.Object(
  {
    ...filterFields,
    order: Type.Unknown(),
    limit: Type.Unknown(),
    cursor: Type.Unknown(),
  },
  { additionalProperties: false, required: [] },
);

export const CancelledTimerBody = Type.Object({
  id: Type.Integer(),
  status: Type.Literal('cancelled'),
});

export const ReadyBody = Type.Object({
  ready: Type.Boolean(),
  checks: Type.Record(
    Type.String(),
    Type.Object({ ok: Type.Boolean(), detail: Type.Optional(Type.String()) }),
  ),
});
export type Readiness = Static<typeof ReadyBody>;
