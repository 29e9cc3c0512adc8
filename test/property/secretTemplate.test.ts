import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BelfryError } from '../../src/core/errors.ts';
import { markSecretHeaders } from '../../src/core/secretHeaders.ts';
import {
  isHeaderText,
  parseSecretValue,
  resolveHeaders,
  resolveUrl,
  secretNamesIn,
  secretUsesOf,
} from '../../src/core/secretTemplate.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,63}$/);
const value = fc.stringMatching(/^[\t\u0020-\u007e\u0080-\u00ff]{1,60}$/);

function refusedField(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (err) {
    assert.ok(err instanceof BelfryError && err.code === 'validation_failed', String(err));
    return err.fields[0]?.field;
  }
}

test('whatever the value, a URL keeps its origin, and the rest of its path and query', () => {
  fc.assert(
    fc.property(name, value, (secret, text) => {
      const values = new Map([[secret, text]]);
      const url = `https://h.example:8443/a/{{secret:${secret}}}/b?q={{secret:${secret}}}&r=1`;
      const resolved = new URL(resolveUrl(url, values));
      assert.equal(resolved.origin, 'https://h.example:8443');
      assert.equal(resolved.searchParams.get('q'), text);
      assert.equal(resolved.searchParams.get('r'), '1');
      assert.equal(resolved.hash, '');
      // Segments that are dots go up, as in every URL.
      if (!/(^|\/)\.{1,2}(\/|$)/.test(text)) {
        assert.equal(decodeURIComponent(resolved.pathname), `/a/${text}/b`);
      }
    }),
  );
});

test('slashes of a value are kept in the path alone', () => {
  const values = new Map([['hook', 'T0/B0/x?y']]);
  assert.equal(resolveUrl('https://h/s/{{secret:hook}}', values), 'https://h/s/T0/B0/x%3Fy');
  assert.equal(resolveUrl('https://h/?k={{secret:hook}}', values), 'https://h/?k=T0%2FB0%2Fx%3Fy');
});

test('a header gets the values as they are, and stays legal', () => {
  fc.assert(
    fc.property(name, value, name, (secret, text, other) => {
      fc.pre(secret !== other);
      const values = new Map([
        [secret, text],
        [other, '{{secret:a}}'],
      ]);
      const headers = { 'x-a': `<{{secret:${secret}}}{{secret:${other}}}>`, 'x-b': ['1', '{{ }}'] };
      const resolved = resolveHeaders(headers, values);
      // What a value holds is not looked at again.
      assert.deepEqual(resolved, { 'x-a': `<${text}{{secret:a}}>`, 'x-b': ['1', '{{ }}'] });
      assert.ok(isHeaderText(`<${text}{{secret:a}}>`));
    }),
  );
});

test('text that is no use of a secret stays as it is', () => {
  const url = 'https://h/{{name}}/{{secret}}?a={{ secret:x }}&b={{secret:Bad}}&c={{secret:';
  assert.equal(resolveUrl(url, new Map()), url);
  assert.deepEqual([...secretNamesIn(url, { a: '{{secret:}}', b: ['{{{secret:x}}}'] })], ['x']);
});

test('uses are found in the URL and in headers, secret ones too, with their fields', () => {
  const headers = markSecretHeaders(
    { authorization: 'Bearer {{secret:token}}', 'x-a': ['{{secret:a}}', '{{secret:b}}'] },
    undefined,
  );
  assert.deepEqual(secretUsesOf({ url: 'https://h/{{secret:p}}', headers }), [
    { field: 'url', name: 'p' },
    { field: 'headers.authorization', name: 'token' },
    { field: 'headers.x-a', name: 'a' },
    { field: 'headers.x-a', name: 'b' },
  ]);
  assert.deepEqual(secretUsesOf({ url: 'https://h/{{x}}', headers: null }), []);
});

test('a secret before the path, one without a proper name, and too many are refused', () => {
  for (const url of ['https://{{secret:x}}/', 'https://h:{{secret:x}}/', '{{secret:x}}://h/']) {
    assert.equal(
      refusedField(() => secretUsesOf({ url })),
      url.startsWith('{') ? undefined : 'url',
    );
  }
  for (const bad of ['', 'X', '1a', 'a b', 'a'.repeat(65), 'é']) {
    const headers = { 'x-a': `{{secret:${bad}}}` };
    assert.equal(
      refusedField(() => secretUsesOf({ headers })),
      'headers.x-a',
      bad,
    );
  }
  const many = '{{secret:a}}'.repeat(21);
  assert.equal(
    refusedField(() => secretUsesOf({ headers: { 'x-a': many } })),
    'headers.x-a',
  );
});

test('a value is what a header can hold', () => {
  for (const taken of ['x', ' ', 'é\t', 'x'.repeat(8_192)]) parseSecretValue(taken);
  for (const bad of [undefined, null, 1, '', 'a\n', 'a\r', '\u0000', '✓', 'x'.repeat(8_193)]) {
    assert.equal(
      refusedField(() => parseSecretValue(bad)),
      'value',
    );
  }
});
