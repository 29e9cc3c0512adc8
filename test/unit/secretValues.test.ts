import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSecretValues, type SecretValue } from '../../src/scheduler/secretValues.ts';

function setUp(stored: Map<string, SecretValue>) {
  let nowMs = 0;
  const asked: string[][] = [];
  let isDown = false;
  const values = createSecretValues({
    clock: { monotonicMs: () => nowMs },
    store: {
      values(projectId, names) {
        asked.push(names.map((name) => `${projectId} ${name}`));
        if (isDown) return Promise.reject(new Error('down'));
        const found = names.flatMap((name) => {
          const value = stored.get(`${projectId} ${name}`);
          return value === undefined ? [] : [[name, value] as const];
        });
        return Promise.resolve(found);
      },
    },
  });
  return {
    values,
    asked,
    pass: (ms: number) => (nowMs += ms),
    setDown: (down: boolean) => (isDown = down),
  };
}

test('many attempts at once are one question, and a value is kept for less than a second', async () => {
  const stored = new Map<string, SecretValue>([['1 a', 'x']]);
  const { values, asked, pass } = setUp(stored);
  const read = async () => (await values.read(1, ['a'])).get('a');
  assert.deepEqual(await Promise.all([read(), read(), read()]), ['x', 'x', 'x']);
  stored.set('1 a', 'y');
  pass(899);
  assert.equal(await read(), 'x');
  assert.equal(asked.length, 1);
  pass(1);
  assert.equal(await read(), 'y');
  assert.equal(asked.length, 2);
});

test('secrets of projects are told apart, and only what is not kept is asked for', async () => {
  const { values, asked } = setUp(
    new Map([
      ['1 a', 'one'],
      ['2 a', 'two'],
      ['1 b', 'b'],
    ]),
  );
  assert.deepEqual([...(await values.read(1, ['a']))], [['a', 'one']]);
  assert.deepEqual([...(await values.read(2, ['a']))], [['a', 'two']]);
  assert.equal((await values.read(1, ['a', 'b'])).size, 2);
  assert.deepEqual(asked, [['1 a'], ['2 a'], ['1 b']]);
});

test('what was not there, and what could not be asked, is asked for anew', async () => {
  const stored = new Map<string, SecretValue>();
  const { values, setDown } = setUp(stored);
  assert.deepEqual(await values.missing(1, ['a', 'b']), ['a', 'b']);
  stored.set('1 a', 'x');
  assert.deepEqual(await values.missing(1, ['a', 'b']), ['b']);
  setDown(true);
  await assert.rejects(values.read(1, ['b']));
  setDown(false);
  stored.set('1 b', null);
  assert.deepEqual([...(await values.read(1, ['b']))], [['b', null]]);
  assert.deepEqual(await values.missing(1, ['b']), [], 'there is one, although it cannot be read');
});

test('no more than a thousand are kept', async () => {
  const names = Array.from({ length: 1_001 }, (_, index) => `s${index}`);
  const { values, asked } = setUp(new Map(names.map((name) => [`1 ${name}`, 'x'])));
  for (const name of names) await values.read(1, [name]);
  await values.read(1, ['s1000']);
  assert.equal(asked.length, 1_001);
  await values.read(1, ['s0']);
  assert.equal(asked.length, 1_002);
});
