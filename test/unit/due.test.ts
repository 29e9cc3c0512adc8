import assert from 'node:assert/strict';
import { test } from 'node:test';
import { horizonMs, parseDue, parseSpan, type DueFields } from '../../src/core/due.ts';
import { BelfryError } from '../../src/core/errors.ts';

const nowMs = Date.UTC(2030, 0, 1);
const clockFields = ['hours', 'minutes', 'seconds'] as const;
const unitMs = { hours: 3_600_000, minutes: 60_000, seconds: 1_000 };

function refusal(field: string) {
  return (err: unknown) =>
    err instanceof BelfryError &&
    err.code === 'validation_failed' &&
    err.fields.length === 1 &&
    err.fields[0]?.field === field &&
    err.message.startsWith(`${field} `);
}

const delayOf = (fields: DueFields) => {
  const due = parseDue(fields, nowMs);
  assert.equal(due.kind, 'after');
  return due.kind === 'after' ? due.delayMs : NaN;
};
const dueAt = (text: unknown) => {
  const due = parseDue({ due_at: text }, nowMs);
  assert.equal(due.kind, 'at');
  return due.kind === 'at' ? due.dueAtMs : NaN;
};

// As JSON, because that is how they come: 1e400 is read as Infinity.
const taken: readonly [json: string, value: number][] = [
  ['0', 0],
  ['-0', 0],
  ['5', 5],
  ['0.5', 0],
  ['0.9', 0],
  ['-0.5', 0],
  ['-0.999', 0],
  ['1.999', 1],
  ['5e-324', 0],
  ['"5"', 5],
  ['" +5 "', 5],
  ['"\\t\\n 7 \\r\\n"', 7],
  ['"-0"', 0],
  ['"+0"', 0],
  ['"0005"', 5],
];

const refused: readonly string[] = [
  '"1.5"',
  '"abc"',
  '""',
  '" "',
  '"+"',
  '"+ 5"',
  '"--5"',
  '"5 5"',
  '"5s"',
  '"0x10"',
  '"1e3"',
  '"1_000"',
  '"Infinity"',
  '"NaN"',
  '"٥"',
  '"-1"',
  '" -1 "',
  '-1',
  '-1.5',
  '1e400',
  '-1e400',
  'null',
  'true',
  'false',
  '[]',
  '[5]',
  '{}',
];

for (const field of clockFields) {
  for (const [json, value] of taken) {
    test(`${field}: ${json} is cast to ${value}`, () => {
      const delayMs = delayOf({ [field]: JSON.parse(json) as unknown });
      assert.ok(Object.is(delayMs, value * unitMs[field]), `got ${delayMs}`);
    });
  }
  for (const json of refused) {
    test(`${field}: ${json} is refused and named`, () => {
      const fields = { [field]: JSON.parse(json) as unknown };
      assert.throws(() => parseDue(fields, nowMs), refusal(field));
    });
  }
  test(`${field}: neither NaN nor a huge string of digits is ever a number`, () => {
    for (const value of [NaN, Infinity, '9'.repeat(400), '9'.repeat(100_000), 1e300]) {
      assert.throws(() => parseDue({ [field]: value }, nowMs), refusal(field));
    }
    assert.equal(delayOf({ [field]: '0'.repeat(100_000) }), 0);
  });
  test(`${field}: a hostile string is judged in linear time`, () => {
    const blanks = ' '.repeat(200_000);
    for (const value of [`${blanks}x`, `${'1'.repeat(200_000)}x`, `1${blanks}x`]) {
      assert.throws(() => parseDue({ [field]: value }, nowMs), refusal(field));
    }
  });
}

test('hours, minutes and seconds add up, each cast by itself', () => {
  assert.equal(delayOf({ hours: 1, minutes: '2', seconds: 3.9 }), 3_600_000 + 120_000 + 3_000);
  assert.equal(delayOf({ hours: 0.5, minutes: 0.5, seconds: 0.5 }), 0);
  assert.throws(() => parseDue({ hours: 1, seconds: -1 }, nowMs), refusal('seconds'));
});

test('nothing said about time means now', () => {
  assert.deepEqual(parseDue({}, nowMs), { kind: 'after', delayMs: 0 });
});

test('there is exactly one way of saying when', () => {
  const ways: DueFields[] = [{ hours: 0 }, { minutes: 1 }, { seconds: '1' }];
  for (const way of ways) {
    assert.throws(() => parseDue({ ...way, delay: 1 }, nowMs), refusal('delay'));
    const due_at = '2030-01-01T00:00:00Z';
    assert.throws(() => parseDue({ ...way, due_at }, nowMs), refusal('due_at'));
  }
  assert.throws(
    () => parseDue({ delay: 1, due_at: '2030-01-01T00:00:00Z' }, nowMs),
    (err) => {
      return refusal('due_at')(err) && err instanceof Error && err.message.includes('delay');
    },
  );
  // Given is given, also when it is null.
  assert.throws(() => parseDue({ seconds: null, delay: 1 }, nowMs), refusal('delay'));
});

const spans: readonly [value: unknown, ms: number][] = [
  [0, 0],
  [-0, 0],
  [1.5, 1_500],
  [0.001, 1],
  [0.0001, 1],
  [1.0005, 1_001],
  [0.3, 300],
  [1.1, 1_100],
  ['PT1.5S', 1_500],
  ['PT1,5S', 1_500],
  ['PT0S', 0],
  ['P0D', 0],
  ['PT0.0001S', 1],
  ['PT0.5M', 30_000],
  ['PT36H', 129_600_000],
  ['PT1H30M5S', 5_405_000],
  ['P30D', 2_592_000_000],
  ['P1.5D', 129_600_000],
  ['P2W', 1_209_600_000],
  ['P1W2DT3H', 604_800_000 + 2 * 86_400_000 + 3 * 3_600_000],
  ['pt5s', 5_000],
];

const notSpans: readonly unknown[] = [
  -1,
  -0.0005,
  -1e-10,
  NaN,
  Infinity,
  -Infinity,
  null,
  true,
  [],
  {},
  '',
  '5',
  '1.5',
  'P',
  'PT',
  'P1DT',
  'P1Y',
  'P1M',
  'P1Y2M3D',
  '-PT5S',
  '+PT5S',
  'PT-5S',
  'P1',
  'PT1',
  'PT1D',
  'P1H',
  'PT1S1M',
  'PT.5S',
  'PT5.S',
  ' PT5S',
  'PT5S ',
  'PT5S\n',
  'PT1e3S',
  'PTS',
  `PT${'1'.repeat(100)}S`,
];

test('a span is seconds or an ISO 8601 duration, fractions kept, never rounded to earlier', () => {
  for (const [value, ms] of spans) {
    assert.ok(Object.is(parseSpan('delay', value), ms), String(value));
    assert.ok(Object.is(delayOf({ delay: value }), ms), String(value));
  }
});

test('a span that is anything else is refused: years, months, signs, junk, numbers below 0', () => {
  for (const value of notSpans) {
    for (const field of ['delay', 'expires_after']) {
      assert.throws(() => parseSpan(field, value), refusal(field), JSON.stringify(value));
    }
  }
});

test('the horizon of 100 years holds for every way of saying when', () => {
  const seconds = horizonMs / 1_000;
  assert.equal(delayOf({ seconds }), horizonMs);
  assert.equal(delayOf({ delay: seconds }), horizonMs);
  assert.equal(delayOf({ delay: `PT${seconds}S` }), horizonMs);
  assert.equal(dueAt(new Date(nowMs + horizonMs).toISOString()), nowMs + horizonMs);
  assert.throws(() => parseDue({ seconds: seconds + 1 }, nowMs), refusal('seconds'));
  assert.throws(() => parseDue({ hours: 876_600, seconds: 1 }, nowMs), refusal('hours'));
  assert.throws(() => parseDue({ delay: seconds + 0.001 }, nowMs), refusal('delay'));
  assert.throws(() => parseDue({ delay: 'P36526D' }, nowMs), refusal('delay'));
  const beyond = new Date(nowMs + horizonMs + 1).toISOString();
  assert.throws(() => parseDue({ due_at: beyond }, nowMs), refusal('due_at'));
  assert.throws(() => parseSpan('expires_after', seconds + 1), refusal('expires_after'));
});

test('due_at keeps milliseconds, reads any offset, and rounds finer digits up', () => {
  const second = Date.UTC(2030, 0, 31, 12);
  const same: readonly [text: string, ms: number][] = [
    ['2030-01-31T12:00:00Z', second],
    ['2030-01-31T12:00:00.250Z', second + 250],
    ['2030-01-31T12:00:00.25Z', second + 250],
    ['2030-01-31T12:00:00.2500000000Z', second + 250],
    ['2030-01-31T12:00:00.000001Z', second + 1],
    ['2030-01-31T12:00:00.9999Z', second + 1_000],
    ['2030-01-31T14:00:00+02:00', second],
    ['2030-01-31T06:30:00-05:30', second],
    ['2030-01-31T12:00:00-00:00', second],
    ['2030-02-01T11:59:00+23:59', second],
    ['2030-01-31t12:00:00z', second],
    ['2030-01-31 12:00:00Z', second],
    ['2028-02-29T00:00:00Z', Date.UTC(2028, 1, 29)],
  ];
  for (const [text, ms] of same) assert.equal(dueAt(text), ms, text);
});

test('due_at may lie in the past, which the store takes for now', () => {
  assert.equal(dueAt('2000-01-01T00:00:00Z'), Date.UTC(2000, 0, 1));
  assert.equal(dueAt('1970-01-01T00:00:00Z'), 0);
  assert.equal(dueAt('0001-01-01T00:00:00Z'), Date.parse('0001-01-01T00:00:00Z'));
});

test('due_at without an offset, with an impossible day or time, or of another form is refused', () => {
  const wrong: readonly unknown[] = [
    '2030-01-31T12:00:00',
    '2030-01-31',
    '2030-01-31T12:00Z',
    '2030-02-30T00:00:00Z',
    '2029-02-29T00:00:00Z',
    '2030-04-31T00:00:00Z',
    '2030-13-01T00:00:00Z',
    '2030-00-10T00:00:00Z',
    '2030-01-00T00:00:00Z',
    '2030-01-01T24:00:00Z',
    '2030-01-01T23:60:00Z',
    // A leap second: no clock of ours can show it.
    '2030-06-30T23:59:60Z',
    '2030-01-01T00:00:00+24:00',
    '2030-01-01T00:00:00+02:60',
    '2030-01-01T00:00:00+0200',
    '2030-01-01T00:00:00+02',
    '2030-01-01T00:00:00.Z',
    '2030-01-01T00:00:00,5Z',
    '+002030-01-01T00:00:00Z',
    '20300101T000000Z',
    ' 2030-01-01T00:00:00Z',
    '2030-01-01T00:00:00Z\n',
    'Tue, 01 Jan 2030 00:00:00 GMT',
    `2030-01-01T00:00:00.${'0'.repeat(100)}Z`,
    '',
    'now',
    nowMs,
    null,
    true,
    [],
    {},
  ];
  for (const value of wrong) {
    assert.throws(() => parseDue({ due_at: value }, nowMs), refusal('due_at'), String(value));
  }
});
