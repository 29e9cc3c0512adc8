import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { castClockField, horizonMs, parseDue, parseSpan } from '../../src/core/due.ts';
import { parseIsoDurationMs } from '../../src/core/duration.ts';
import { BelfryError } from '../../src/core/errors.ts';
import { parseTimerId, type TimerId } from '../../src/core/ids.ts';
import { deliveryTarget, parseTargetUrl } from '../../src/core/target.ts';
import { nearlyDurations, nearlyInstants, nearlyNumbers, nearlyUrls } from '../support/nearly.ts';

const nowMs = Date.UTC(2030, 0, 1);

const anything = fc.oneof(
  fc.anything(),
  fc.double(),
  nearlyNumbers,
  nearlyDurations,
  nearlyInstants,
  nearlyUrls,
);

/** The result, or undefined when it was refused in the one way in which a parser may refuse. */
function orRefused<Value>(parse: () => Value): Value | undefined {
  try {
    return parse();
  } catch (err) {
    if (!(err instanceof BelfryError)) throw err;
    assert.equal(err.code, 'validation_failed');
    assert.equal(err.fields.length, 1);
    return undefined;
  }
}

test('whatever a clock field is given, it is a whole number of 0 or more or a named refusal', () => {
  fc.assert(
    fc.property(anything, (value) => {
      const cast = orRefused(() => castClockField('seconds', value));
      assert.ok(
        cast === undefined || (Number.isInteger(cast) && cast >= 0 && !Object.is(cast, -0)),
      );
    }),
    { numRuns: 1_000 },
  );
});

test('a finite number above −1 is cast to what truncation says', () => {
  fc.assert(
    fc.property(fc.double({ min: -1, minExcluded: true, max: 1e15, noNaN: true }), (value) => {
      assert.equal(castClockField('seconds', value), Math.max(0, Math.trunc(value)));
    }),
  );
});

test('whatever a span is given, it is whole milliseconds within the horizon or a named refusal', () => {
  fc.assert(
    fc.property(anything, (value) => {
      const ms = orRefused(() => parseSpan('delay', value));
      if (ms === undefined) return;
      assert.ok(Number.isSafeInteger(ms) && ms >= 0 && ms <= horizonMs && !Object.is(ms, -0));
    }),
    { numRuns: 2_000 },
  );
});

test('seconds as a number are never rounded to earlier, and by less than a millisecond', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 3e9, noNaN: true }), (seconds) => {
      const ms = parseSpan('delay', seconds);
      assert.ok(ms - seconds * 1_000 > -1e-3 && ms - seconds * 1_000 < 1);
    }),
  );
});

test('a duration built of its parts is their sum', () => {
  const part = fc.option(fc.integer({ min: 0, max: 9_999 }), { nil: undefined });
  fc.assert(
    fc.property(part, part, part, part, part, (w, d, h, m, s) => {
      const days = [w === undefined ? '' : `${w}W`, d === undefined ? '' : `${d}D`].join('');
      const clock = [
        h === undefined ? '' : `${h}H`,
        m === undefined ? '' : `${m}M`,
        s === undefined ? '' : `${s}S`,
      ].join('');
      fc.pre(days + clock !== '');
      const text = `P${days}${clock === '' ? '' : `T${clock}`}`;
      const seconds =
        (w ?? 0) * 604_800 + (d ?? 0) * 86_400 + (h ?? 0) * 3_600 + (m ?? 0) * 60 + (s ?? 0);
      assert.equal(parseIsoDurationMs(text), seconds * 1_000);
    }),
  );
});

test('whatever due_at is given, it is a whole instant within the horizon or a named refusal', () => {
  fc.assert(
    fc.property(anything, (value) => {
      fc.pre(value !== undefined);
      const due = orRefused(() => parseDue({ due_at: value }, nowMs));
      if (due === undefined) return;
      assert.equal(due.kind, 'at');
      if (due.kind !== 'at') return;
      assert.ok(Number.isSafeInteger(due.dueAtMs) && due.dueAtMs <= nowMs + horizonMs);
    }),
    { numRuns: 2_000 },
  );
});

test('due_at reads back every instant that it can be written as', () => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date(0), max: new Date(nowMs + horizonMs), noInvalidDate: true }),
      fc.integer({ min: -23 * 60 - 59, max: 23 * 60 + 59 }),
      (instant, offsetMinutes) => {
        const minutes = Math.abs(offsetMinutes);
        const two = (n: number) => String(n).padStart(2, '0');
        const local = new Date(instant.getTime() + offsetMinutes * 60_000).toISOString();
        fc.pre(/^\d{4}-/.test(local));
        const sign = offsetMinutes < 0 ? '-' : '+';
        const offset = `${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
        const due = parseDue({ due_at: local.replace('Z', offset) }, nowMs);
        assert.deepEqual(due, { kind: 'at', dueAtMs: instant.getTime() });
      },
    ),
  );
});

test('whatever url is given, what is taken has a host, no credentials, and leads where it says', () => {
  fc.assert(
    fc.property(anything, fc.boolean(), (value, appendId) => {
      const url = orRefused(() => parseTargetUrl(value, 200));
      if (url === undefined) return;
      const text = String(value);
      assert.ok(text.length <= 200 && /^https?:\/\/[^/?#]/i.test(text));
      assert.ok(url.hostname !== '' && url.username === '' && url.password === '');
      const { origin, path } = deliveryTarget(text, 7 as TimerId, appendId);
      assert.equal(origin, url.origin);
      // What stands in a request line cannot break out of it.
      assert.match(path, /^\/[\u0021-\u007e]*$/);
      assert.equal(
        path,
        appendId ? `${url.pathname.replace(/\/$/, '')}/7` : url.pathname + url.search,
      );
    }),
    { numRuns: 3_000 },
  );
});

test('whatever stands in the path, an id is a whole number in range that reads back, or no id', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), nearlyNumbers, fc.maxSafeNat().map(String)), (text) => {
      const id = parseTimerId(text);
      assert.ok(id === undefined || (Number.isSafeInteger(id) && id > 0 && String(id) === text));
    }),
  );
});
