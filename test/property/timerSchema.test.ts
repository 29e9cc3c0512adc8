import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseNewTimer } from '../../src/api/newTimer.ts';
import { fieldsOnly } from '../../src/api/schemas/fieldsOnly.ts';
import { NewTimerBody } from '../../src/api/schemas/newTimer.ts';
import { horizonMs } from '../../src/core/due.ts';
import { BelfryError } from '../../src/core/errors.ts';
import { nearlyDurations, nearlyInstants, nearlyNumbers, nearlyUrls } from '../support/nearly.ts';
import { createAjv } from '../support/openapi.ts';

const ajv = createAjv();
const isDocumented = ajv.compile(NewTimerBody);
const hasKnownFields = ajv.compile(fieldsOnly(NewTimerBody));

/** Limits that come from settings are no part of the schema: here they are at their widest. */
const rules = {
  urlLengthMax: 8_000,
  timeoutMaxMs: horizonMs,
  retryDefaults: {
    attemptsMax: 5,
    baseMs: 5_000,
    factor: 4,
    capMs: 21_600_000,
    jitter: 0.2,
    ageMaxMs: null,
  },
  canKeepSecrets: true,
  judgeTarget: () => undefined,
  nowMs: () => Date.UTC(2030, 0, 1),
};

/** The field that the service would name in its 400; undefined when it takes the body. */
function refusedField(body: unknown): string | undefined {
  if (!hasKnownFields(body)) return 'body';
  try {
    parseNewTimer(1, body as object, rules, null);
    return undefined;
  } catch (err) {
    assert.ok(err instanceof BelfryError && err.code === 'validation_failed', String(err));
    return err.fields[0]?.field ?? '';
  }
}

// As JSON has them: what cannot be written there never comes in.
const number = fc.oneof(
  nearlyNumbers,
  fc.double({ noDefaultInfinity: true, noNaN: true }),
  fc.double({ min: -2, max: 130, noNaN: true }),
  fc.integer(),
  fc.constantFrom(0, -0, -1, -0.5, 1, 100, 101, 876_600, 876_601, 3_155_760_000, 3_155_760_001),
);
const span = fc.oneof(number, nearlyDurations, fc.constantFrom(86_400, 86_401, 31_536_000, 3e7));
const statuses = fc.oneof(
  fc.array(
    fc.oneof(fc.constantFrom('2xx', '3xx', '5xx', '429', 299, 300, 429.5, 599, 600), number),
    {
      maxLength: 60,
    },
  ),
  fc.array(fc.integer({ min: 300, max: 599 }), { maxLength: 60 }),
);
const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }));
const headerName = fc.oneof(
  fc.constantFrom('x-a', 'X-A', 'x-b', 'host', 'Webhook-Id', 'content-type'),
  fc.string({ maxLength: 5 }),
);
const anything = fc.oneof(fc.jsonValue(), text, number);
const near: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  url: nearlyUrls,
  hours: number,
  minutes: number,
  seconds: number,
  delay: span,
  due_at: nearlyInstants,
  expires_after: span,
  append_id: fc.boolean(),
  method: fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'get'),
  headers: fc.dictionary(headerName, fc.oneof(text, fc.array(text, { maxLength: 60 }), anything)),
  body: text,
  body_base64: fc.oneof(fc.base64String(), fc.stringMatching(/^[A-Za-z0-9+/]{0,9}={0,3}$/)),
  json: anything,
  timeout: span,
  retry: fc.record(
    {
      max_attempts: number,
      base: span,
      factor: number,
      cap: span,
      jitter: number,
      max_age: span,
      on: statuses,
    },
    { requiredKeys: [] },
  ),
  labels: fc.array(fc.oneof(text, fc.string({ maxLength: 110 })), { maxLength: 18 }),
  metadata: anything,
};
const field = ([name, values]: [string, fc.Arbitrary<unknown>]) =>
  fc
    .oneof({ weight: 9, arbitrary: values }, { weight: 1, arbitrary: anything })
    .map((value): [string, unknown] => [name, value]);
/** One to four fields, beside a url that is taken (unless it is one of them). */
const bodies = fc
  .array(fc.oneof(...Object.entries(near).map(field)), { minLength: 1, maxLength: 4 })
  .map((fields) => {
    const body = { url: 'https://example.com/x', ...Object.fromEntries(fields) };
    return JSON.parse(JSON.stringify(body)) as Record<string, unknown>;
  });

// One exception, which the values here do not meet: less than a nanosecond beyond a bound (86400.0000000001
// as retry.base) counts as noise of the binary fraction to the parsers and as beyond it to the schema.
test('what the parsers take, the documented schema takes: what it refuses is a 400', () => {
  let taken = 0;
  let refused = 0;
  fc.assert(
    fc.property(bodies, (body) => {
      const by = refusedField(body);
      if (by === undefined) taken += 1;
      else refused += 1;
      if (by === undefined) assert.ok(isDocumented(body), ajv.errorsText(isDocumented.errors));
    }),
    { numRuns: 20_000 },
  );
  assert.ok(taken > 2_000 && refused > 2_000, `${taken} taken, ${refused} refused`);
});

test('what the documented schema takes, the parsers take, but for what it says in words', () => {
  // url: what URL parsers refuse. headers: reserved names, a name in two spellings, bytes in all.
  // Instants and spans: the horizon, spans that round to 0, sums. Text: lone surrogates, NUL, bytes.
  const inWords =
    /^(?:url|headers|headers\..*|hours|minutes|seconds|delay|due_at|expires_after|timeout|retry\.(?:base|cap|max_age)|body|labels|metadata)$/;
  fc.assert(
    fc.property(bodies, (body) => {
      if (!isDocumented(body)) return;
      const by = refusedField(body);
      if (by !== undefined) assert.match(by, inWords);
    }),
    { numRuns: 20_000 },
  );
});

test('each field by itself: the schema refuses most of what the parser refuses', () => {
  // A schema that takes everything would pass the laws above.
  for (const [name, values] of Object.entries(near)) {
    // Of metadata the parser refuses its bytes and NUL alone, of json nothing that can be written.
    if (['metadata', 'json'].includes(name)) continue;
    let refused = 0;
    let documented = 0;
    for (const value of fc.sample(fc.oneof(values, anything), { numRuns: 2_000, seed: 7 })) {
      const json = JSON.stringify({ url: 'https://example.com/x', [name]: value });
      const body = JSON.parse(json) as Record<string, unknown>;
      if (refusedField(body) === undefined) continue;
      refused += 1;
      if (!isDocumented(body)) documented += 1;
    }
    assert.ok(refused > 100 && documented / refused > 0.9, `${name}: ${documented} of ${refused}`);
  }
});

test('a body with an unknown field, two ways of saying when or two bodies is refused by both', () => {
  for (const fields of [
    { secs: 1 },
    { seconds: 1, delay: 1 },
    { hours: 1, due_at: '2030-01-01T00:00:00Z' },
    { delay: 1, due_at: '2030-01-01T00:00:00Z' },
    { body: 'x', json: 1 },
    { body: 'x', body_base64: '' },
    { method: 'GET', body: 'x' },
    { url: undefined },
  ]) {
    const body = { url: 'https://example.com/x', ...fields };
    const json = JSON.parse(JSON.stringify(body)) as Record<string, unknown>;
    assert.ok(refusedField(json) !== undefined && !isDocumented(json), JSON.stringify(fields));
  }
});
