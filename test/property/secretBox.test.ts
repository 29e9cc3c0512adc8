import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { keyIdOf, parseSecretKeys, type SecretPlace } from '../../src/core/secretBox.ts';
import { secretBoxOf, secretKeysText } from '../support/secretKeys.ts';

const place: fc.Arbitrary<SecretPlace> = fc.record({
  purpose: fc.constantFrom('header', 'secret', 'proof'),
  projectId: fc.nat(),
  row: fc.array(fc.oneof(fc.nat(), fc.string()), { maxLength: 3 }),
});
const text = fc.oneof(fc.string(), fc.string({ unit: 'binary', maxLength: 9_000 }));

test('what is sealed is opened at its place, and says which key it is under', () => {
  const box = secretBoxOf('a', 'b');
  fc.assert(
    fc.property(place, text, (where, value) => {
      const record = box.seal(where, value);
      assert.equal(box.open(where, record), Buffer.from(value).toString());
      assert.equal(keyIdOf(record), 'a');
    }),
  );
});

test('at another place, of another project or purpose, it is not opened', () => {
  const box = secretBoxOf('a');
  fc.assert(
    fc.property(place, place, text, (where, other, value) => {
      fc.pre(JSON.stringify(where) !== JSON.stringify(other));
      assert.equal(box.open(other, box.seal(where, value)), undefined);
    }),
  );
  const header = (id: number, name: string): SecretPlace => ({
    purpose: 'header',
    projectId: 1,
    row: [id, name],
  });
  const record = box.seal(header(1, 'cookie'), 'x');
  assert.equal(box.open(header(2, 'cookie'), record), undefined);
  assert.equal(box.open(header(1, 'x-api-key'), record), undefined);
  assert.equal(box.open({ ...header(1, 'cookie'), projectId: 2 }, record), undefined);
  assert.equal(box.open(header(1, 'cookie'), record), 'x');
});

test('a record in which anything is changed is not opened, and never throws', () => {
  const box = secretBoxOf('a', 'b');
  const where: SecretPlace = { purpose: 'secret', projectId: 1, row: ['x'] };
  const record = box.seal(where, 'a value');
  fc.assert(
    fc.property(fc.nat(record.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, by) => {
      fc.pre(record[at] !== by);
      const changed = record.slice(0, at) + by + record.slice(at + 1);
      assert.equal(box.open(where, changed), undefined, changed);
    }),
  );
  fc.assert(fc.property(fc.string(), (junk) => assert.equal(box.open(where, junk), undefined)));
});

test('the first key encrypts, all decrypt, and one that is not there does not', () => {
  const where: SecretPlace = { purpose: 'secret', projectId: 1, row: ['x'] };
  const before = secretBoxOf('old').seal(where, 'v');
  const box = secretBoxOf('new', 'old');
  assert.equal(box.open(where, before), 'v');
  assert.equal(keyIdOf(box.seal(where, 'v')), 'new');
  assert.equal(secretBoxOf('new').open(where, before), undefined);
  assert.notEqual(box.seal(where, 'v'), box.seal(where, 'v'), 'no nonce comes twice');
});

test('nonces never come twice, also where many are drawn', () => {
  const box = secretBoxOf('a');
  const where: SecretPlace = { purpose: 'secret', projectId: 1, row: ['x'] };
  const seen = new Set<string>();
  for (let index = 0; index < 5_000; index++) seen.add(box.seal(where, '').slice(0, 20));
  assert.equal(seen.size, 5_000);
});

test('keys are told by commas or blanks; what is no key, or comes twice, is refused', () => {
  const one = secretKeysText('one');
  const two = secretKeysText('two-2_');
  for (const given of [
    `${one},${two}`,
    `${one}\n${two}\n`,
    ` ${one} , ${two},`,
    `${one}\r\n${two}`,
  ]) {
    assert.deepEqual(
      parseSecretKeys(given)?.map(({ id }) => id),
      ['one', 'two-2_'],
    );
  }
  for (const given of ['', ',', 'one', `${one},${one}`, one.replace('one', 'ONE'), `${one}A`]) {
    assert.equal(parseSecretKeys(given), undefined, given);
  }
  assert.equal(parseSecretKeys(`x:${Buffer.alloc(31).toString('base64')}`), undefined);
  assert.equal(
    parseSecretKeys(`${'x'.repeat(17)}:${Buffer.alloc(32).toString('base64')}`),
    undefined,
  );
  assert.ok(!JSON.stringify(parseSecretKeys(one)).includes(one.slice(4, 20)));
});
