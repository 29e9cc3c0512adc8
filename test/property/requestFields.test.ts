import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { labelsMax, parseLabels, parseMetadata } from '../../src/core/annotations.ts';
import { BelfryError } from '../../src/core/errors.ts';
import { parseIdempotencyKey } from '../../src/core/idempotency.ts';
import { parseRequestBody } from '../../src/core/requestBody.ts';
import { headerValuesMax, parseRequestHeaders } from '../../src/core/requestHeaders.ts';
import { parseRetryPolicy, type RetryPolicy } from '../../src/core/retryPolicy.ts';

const defaults: RetryPolicy = {
  attemptsMax: 5,
  baseMs: 5_000,
  factor: 4,
  capMs: 21_600_000,
  jitter: 0.2,
  ageMaxMs: null,
};

/** The field that the error names. */
function refusedField(parse: () => unknown): string {
  try {
    parse();
  } catch (err) {
    assert.ok(err instanceof BelfryError && err.code === 'validation_failed', String(err));
    return err.fields[0]?.field ?? '';
  }
  return assert.fail('it was taken');
}

test('a header that frames the message, leads elsewhere or is ours is refused, however it is written', () => {
  const reserved =
    'connection Content-Length EXPECT host HTTP2-Settings keep-alive TE trailer Transfer-Encoding upgrade webhook-id Webhook-Signature belfry-x Proxy-Authorization proxy-connection Cookie2 Forwarded X-Forwarded-For x-forwarded-host X-FORWARDED-PROTO x-forwarded X-Forwarded-Anything X-Real-IP via x-original-url Content_Length transfer_encoding X_Forwarded_For webhook_signature keep_alive proxy_authenticate';
  for (const name of reserved
    .split(' ')
    .concat('', 'a b', 'a:', 'é', 'a\r\n', '\u0000', ':authority', ':path', 'a\tb', '(a)', 'a,b')) {
    assert.equal(
      refusedField(() => parseRequestHeaders({ [name]: 'x' })),
      `headers.${name}`,
    );
  }
});

test('a header value with a line break, a NUL or what is not Latin-1 is refused', () => {
  for (const value of [
    'a\r\nb: c',
    'a\nb',
    'a\u0000',
    '\u007f',
    'ж',
    '✓',
    1,
    null,
    {},
    [1],
    [[]],
  ]) {
    assert.equal(
      refusedField(() => parseRequestHeaders({ 'x-a': value })),
      'headers.x-a',
    );
  }
});

test('header names are kept in lower case, values as given, lists as lists', () => {
  assert.deepEqual(
    parseRequestHeaders({ 'X-A': '1', 'x-b': ['2', 'é\t3'], 'x-c': '', authorization: 'Bearer y' }),
    { 'x-a': '1', 'x-b': ['2', 'é\t3'], 'x-c': '', authorization: 'Bearer y' },
  );
  assert.equal(parseRequestHeaders({}), null);
  assert.equal(parseRequestHeaders(undefined), null);
  assert.equal(
    refusedField(() => parseRequestHeaders({ 'X-A': '1', 'x-a': '2' })),
    'headers.x-a',
  );
});

test('headers are bounded in number and in bytes', () => {
  const many = (count: number) => ({ 'x-a': Array.from({ length: count }, () => '') });
  assert.ok(parseRequestHeaders(many(headerValuesMax)));
  assert.equal(
    refusedField(() => parseRequestHeaders(many(headerValuesMax + 1))),
    'headers',
  );
  assert.ok(parseRequestHeaders({ 'x-a': 'a'.repeat(8_189) }));
  assert.equal(
    refusedField(() => parseRequestHeaders({ 'x-a': 'a'.repeat(8_190) })),
    'headers',
  );
});

test('a body comes in one way; bytes and text come out as they went in', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.string({ unit: 'grapheme' }), (bytes, text) => {
      const base64 = Buffer.from(bytes).toString('base64');
      assert.deepEqual(parseRequestBody({ body_base64: base64 }).body, Buffer.from(bytes));
      assert.deepEqual(parseRequestBody({ body: text }).body, Buffer.from(text));
    }),
  );
  assert.deepEqual(parseRequestBody({}), { body: null, contentType: null });
  assert.deepEqual(parseRequestBody({ body: '' }).body, Buffer.alloc(0));
  assert.equal(
    refusedField(() => parseRequestBody({ body: 'a', json: 1 })),
    'json',
  );
  assert.equal(
    refusedField(() => parseRequestBody({ body: 'a', body_base64: 'YQ==' })),
    'body_base64',
  );
  for (const value of ['a', 'YQ', 'YQ=', 'Y Q=', 'YQ==\n', 'Y-Q=', 1, null, []]) {
    assert.equal(
      refusedField(() => parseRequestBody({ body_base64: value })),
      'body_base64',
    );
  }
  for (const value of ['\ud800', 1, null, {}]) {
    assert.equal(
      refusedField(() => parseRequestBody({ body: value })),
      'body',
    );
  }
});

test('json is any JSON value and brings its media type along', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const { body, contentType } = parseRequestBody({ json: value });
      assert.deepEqual(JSON.parse(String(body)), JSON.parse(JSON.stringify(value)));
      assert.equal(contentType, 'application/json');
    }),
  );
});

test('what is nested more deeply than can be written is refused, not a crash', () => {
  const deep: unknown = JSON.parse('['.repeat(400_000) + ']'.repeat(400_000));
  assert.equal(
    refusedField(() => parseRequestBody({ json: deep })),
    'json',
  );
  assert.equal(
    refusedField(() => parseMetadata(deep)),
    'metadata',
  );
  assert.equal(
    refusedField(() => parseIdempotencyKey('k', { json: deep })),
    'body',
  );
});

test('of a retry policy what is left out is as the service has it', () => {
  assert.equal(parseRetryPolicy(undefined, defaults), null);
  assert.deepEqual(parseRetryPolicy({}, defaults), defaults);
  assert.deepEqual(
    parseRetryPolicy(
      { max_attempts: 3, base: 0.5, factor: 1, cap: 'PT1H', jitter: 0, max_age: 'P1D' },
      defaults,
    ),
    { attemptsMax: 3, baseMs: 500, factor: 1, capMs: 3_600_000, jitter: 0, ageMaxMs: 86_400_000 },
  );
  const on = ['5xx', 429] as const;
  assert.deepEqual(parseRetryPolicy({ on }, defaults), { ...defaults, on });
});

test('a bad retry policy is refused with the field at fault', () => {
  for (const [field, values] of Object.entries({
    max_attempts: [0, 101, 1.5, '3', null, true],
    base: [0, -1, 86_401, 'x', null, 'P1Y'],
    factor: [0.5, 101, '2', null],
    cap: [0, 31_536_001, {}],
    jitter: [-0.1, 1.1, '20%'],
    max_age: [-1, 'soon', 1e12],
    on: [null, 'x', 429, {}, ['2xx'], [299], [600], [429.5], ['429'], [[429]], Array(51).fill(500)],
    attempts: [3],
  })) {
    for (const value of values) {
      assert.equal(
        refusedField(() => parseRetryPolicy({ [field]: value }, defaults)),
        `retry.${field}`,
      );
    }
  }
  for (const value of [null, 3, [], 'x']) {
    assert.equal(
      refusedField(() => parseRetryPolicy(value, defaults)),
      'retry',
    );
  }
});

test('labels are few, short, different words', () => {
  const numbered = (count: number) => Array.from({ length: count }, (_, index) => `l${index}`);
  assert.deepEqual(parseLabels(numbered(labelsMax)), numbered(labelsMax));
  assert.equal(parseLabels([]), null);
  const lists = [
    numbered(labelsMax + 1),
    ['a', 'a'],
    [''],
    ['a'.repeat(101)],
    ['\u0000'],
    ['\ud800'],
  ];
  for (const value of [...lists, 'a', {}, null, [1], [null]]) {
    assert.equal(
      refusedField(() => parseLabels(value)),
      'labels',
    );
  }
});

test('metadata is any JSON that PostgreSQL can keep, of 4 KiB', () => {
  assert.deepEqual(parseMetadata({ a: [1, '\\u0000', '✓', '😀'] }), {
    a: [1, '\\u0000', '✓', '😀'],
  });
  assert.equal(parseMetadata(undefined), null);
  assert.ok(parseMetadata('a'.repeat(4_094)));
  for (const value of ['a'.repeat(4_095), '\u0000', { '\ud800': 1 }, ['\\\u0000'], '\udfff']) {
    assert.equal(
      refusedField(() => parseMetadata(value)),
      'metadata',
    );
  }
});
