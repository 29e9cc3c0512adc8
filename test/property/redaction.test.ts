import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { redactSample, secretTexts } from '../../src/core/redaction.ts';

const secret = fc.stringMatching(/^[A-Za-z0-9/+"\\.*é-]{6,40}$/);

function redacted(
  body: string,
  values: readonly string[],
  bytes = Buffer.byteLength(body),
): string {
  const sample = { headers: { location: body }, body: Buffer.from(body), bytes };
  const after = redactSample(sample, secretTexts(values));
  return `${after.headers?.['location'] ?? ''}\n${String(after.body)}`;
}

test('a secret that a receiver gives back is not kept: as it is, as JSON, as part of a URL', () => {
  fc.assert(
    fc.property(secret, fc.string(), fc.string(), (value, before, behind) => {
      fc.pre(!'[secret]'.includes(value));
      for (const written of [value, JSON.stringify(value), encodeURIComponent(value)]) {
        const text = redacted(`${before}${written}${behind}`, [value]);
        assert.ok(!text.includes(value), text);
        assert.ok(!text.includes(JSON.stringify(value).slice(1, -1)), text);
      }
    }),
  );
});

test('what stands behind the scheme of an Authorization is a secret of its own', () => {
  const text = redacted('token=s3cr3t-t0ken-abcdef', ['Bearer s3cr3t-t0ken-abcdef']);
  assert.ok(!text.includes('s3cr3t'), text);
});

test('a secret that is cut off at the end of what is kept is not kept either', () => {
  for (let length = 4; length < 24; length++) {
    const body = `you sent ${'s3cr3t-t0ken-abcdef-0123'.slice(0, length)}`;
    const text = redacted(body, ['s3cr3t-t0ken-abcdef-0123'], 10_000);
    assert.ok(!text.includes('s3cr'), text);
  }
});

test('what has nothing to do with a secret stays byte for byte', () => {
  const body = Buffer.from([0, 255, 128, 10, 195, 40]);
  const sample = { headers: null, body, bytes: 6 };
  assert.deepEqual(redactSample(sample, secretTexts(['s3cr3t-t0ken'])), sample);
  assert.deepEqual(redactSample({ headers: null, body: null, bytes: 0 }, ['x']).body, null);
  const long = redactSample({ headers: null, body: Buffer.from('aaaa'), bytes: 4 }, ['a']);
  assert.equal(long.body?.length, 4);
});
