import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BelfryError } from '../../src/core/errors.ts';
import { matchesHost, parseHostFilter } from '../../src/core/hostFilter.ts';
import {
  fingerprintOf,
  isEmptyFilter,
  parseTimerFilter,
  type FilterFields,
} from '../../src/core/timerFilter.ts';

/** The field that is refused; undefined when none is. */
function fault(fields: FilterFields): string | undefined {
  try {
    parseTimerFilter(fields);
    return undefined;
  } catch (err) {
    assert.ok(err instanceof BelfryError);
    assert.equal(err.code, 'validation_failed');
    return err.fields[0]?.field;
  }
}

test('a filter that says nothing is empty, and one that says anything is not', () => {
  assert.ok(isEmptyFilter(parseTimerFilter({})));
  for (const fields of [
    { status: 'live' },
    { label: 'a' },
    { host: 'a' },
    { key: 'a' },
    { url_prefix: 'h' },
    { due_after: '1970-01-01T00:00:00Z' },
    { due_before: '2030-01-01T00:00:00Z' },
    { created_after: '2030-01-01T00:00:00Z' },
    { created_before: '2030-01-01T00:00:00Z' },
  ]) {
    assert.ok(!isEmptyFilter(parseTimerFilter(fields)), JSON.stringify(fields));
  }
});

test('statuses may come several times, with commas, and in groups; order and repetition say nothing', () => {
  const of = (status: unknown) => parseTimerFilter({ status }).statuses;
  assert.deepEqual(of('failed'), ['failed']);
  assert.deepEqual(of('failed,pending,failed'), ['pending', 'failed']);
  assert.deepEqual(of(['cancelled', 'live']), ['pending', 'delivering', 'retrying', 'cancelled']);
  assert.deepEqual(of('finished'), ['succeeded', 'failed', 'cancelled']);
  const print = (status: unknown) => fingerprintOf(parseTimerFilter({ status }), [1]);
  assert.equal(print('failed,pending'), print(['pending', 'failed', 'pending']));
  assert.notEqual(print('failed'), print('pending'));
});

test('every field that is not as it should be is refused by its name', () => {
  const text: readonly unknown[] = [7, null, {}, [], ['a', 'b'], '', 'a\u0000', '\ud800', true];
  const cases: Readonly<Record<keyof FilterFields, readonly unknown[]>> = {
    status: ['', 'lost', 'failed,', 'FAILED', [], [[]], ['failed', 7], 7, null, {}],
    label: [...text, 'a\nb', 'x'.repeat(101)],
    host: [...text, 'a b', 'http://a', 'a/b', 'a@b', 'a:0', 'a:65536', 'a:', ':80', '::1', 'a:b'],
    key: [...text, 'a b', 'é', 'x'.repeat(256)],
    url_prefix: [...text, 'a b', 'x'.repeat(8_193)],
    due_after: [
      ...text,
      '2030-01-01',
      '2030-13-01T00:00:00Z',
      '2030-01-01T00:00:00',
      'x'.repeat(99),
    ],
    due_before: [...text, 'yesterday'],
    created_after: [...text, '1e3'],
    created_before: [...text, '2030-01-01T00:00:00 Z'],
  };
  for (const [field, values] of Object.entries(cases)) {
    for (const value of values)
      assert.equal(fault({ [field]: value }), field, JSON.stringify(value));
  }
});

test('instants are taken with any offset, also when its plus came as a blank', () => {
  const of = (due_after: string) => parseTimerFilter({ due_after }).dueAfterMs;
  assert.equal(of('2030-01-01T00:00:00.250Z'), Date.UTC(2030, 0, 1, 0, 0, 0, 250));
  assert.equal(of('2030-01-01T02:00:00+02:00'), Date.UTC(2030, 0, 1));
  assert.equal(of('2030-01-01T02:00:00 02:00'), Date.UTC(2030, 0, 1));
  assert.equal(of('0000-01-01T00:00:00Z'), 0);
});

test('a host stands for all its ports, a host with a port for that one, written or not', () => {
  const matches = (host: string, url: string) => matchesHost(url, parseHostFilter('host', host));
  for (const [host, url] of [
    ['example.com', 'http://example.com'],
    ['example.com', 'HTTPS://EXAMPLE.com:8443/x'],
    ['EXAMPLE.com', 'http://example.com?x=/y'],
    ['example.com', 'http://example.com#/y'],
    ['example.com:80', 'http://example.com/'],
    ['example.com:80', 'https://example.com:80/'],
    ['example.com:443', 'https://example.com/'],
    ['[::1]', 'http://[::1]:8080/'],
    ['[::1]:8080', 'http://[::1]:8080'],
  ] as const) {
    assert.ok(matches(host, url), `${host} ${url}`);
  }
  for (const [host, url] of [
    ['example.com', 'http://www.example.com/'],
    ['example.com', 'http://example.com.au/'],
    ['example.com', 'http://a/example.com/'],
    ['example.com', 'http://a?//example.com/'],
    ['example.com:80', 'https://example.com/'],
    ['example.com:443', 'http://example.com/'],
    ['example.com:8', 'http://example.com:80/'],
    ['[::1]', 'http://[::11]/'],
  ] as const) {
    assert.ok(!matches(host, url), `${host} ${url}`);
  }
});
