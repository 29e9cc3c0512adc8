import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSecretBox, parseSecretKeys } from '../../src/core/secretBox.ts';
import { signingKeyPlace } from '../../src/core/signingKey.ts';
import { newSigningSecret } from '../../src/core/webhookSignature.ts';
import { createSigningKeys } from '../../src/scheduler/signingKeys.ts';
import { secretKeysText } from '../support/secretKeys.ts';

const url = 'https://api.example.com/hooks';
const box = createSecretBox(parseSecretKeys(secretKeysText('a')) ?? []);

function recordOf(
  projectId: number,
  id: string,
  { secret = newSigningSecret('v1'), destination = '*' } = {},
) {
  return { id, destination, record: box.seal(signingKeyPlace(projectId, id), secret) };
}

/** `isMany`: more projects have keys than a process knows by heart. */
function setUp(
  stored: Map<number, ReturnType<typeof recordOf>[]>,
  { withBox = true, isMany = false } = {},
) {
  let nowMs = 0;
  let isDown = false;
  let gate = Promise.resolve();
  const asked: (readonly number[])[] = [];
  const counts = { projects: 0 };
  const keys = createSigningKeys({
    box: withBox ? box : undefined,
    clock: { monotonicMs: () => nowMs },
    store: {
      async projects() {
        counts.projects += 1;
        const found = new Set(stored.keys());
        await gate;
        if (isDown) throw new Error('down');
        return isMany ? undefined : found;
      },
      async records(projectIds) {
        asked.push(projectIds);
        const found = new Map([...stored].filter(([id]) => projectIds.includes(id)));
        await gate;
        if (isDown) throw new Error('down');
        return found;
      },
    },
  });
  return {
    keys,
    asked,
    counts,
    pass: (ms: number) => (nowMs += ms),
    setDown: (down: boolean) => (isDown = down),
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      return resolve;
    },
  };
}

const settled = () => new Promise(setImmediate);

test('one statement at a time, for all projects that were asked for meanwhile', async () => {
  const { keys, asked, hold } = setUp(new Map([[2, [recordOf(2, 'k')]]]), { isMany: true });
  await keys.refresh();
  const release = hold();
  const reads = [1, 1, 2, 3, 2].map((project) => keys.read(project, url));
  await settled();
  assert.deepEqual(asked, [[1]]);
  release();
  assert.deepEqual(
    (await Promise.all(reads)).map((found) => found.length),
    [0, 0, 1, 0, 1],
  );
  assert.deepEqual(asked, [[1], [2, 3]]);
  for (const project of [1, 2, 3]) assert.ok(keys.known(project, url) !== undefined);
  assert.equal(keys.known(4, url), undefined);
});

test('what is used all the time is read in the background, what is older than 0.9 s before it is used', async () => {
  const stored = new Map([[1, [recordOf(1, 'k')]]]);
  const { keys, asked, pass } = setUp(stored);
  await keys.read(1, url);
  pass(449);
  assert.equal(keys.known(1, url)?.length, 1);
  assert.equal(asked.length, 1);
  stored.set(1, []);
  pass(1);
  assert.equal(keys.known(1, url)?.length, 1, 'nobody waits');
  await settled();
  assert.deepEqual([keys.known(1, url)?.length, asked.length], [0, 2]);
  stored.set(1, [recordOf(1, 'l')]);
  pass(900);
  assert.equal(keys.known(1, url), undefined);
  assert.equal((await keys.read(1, url)).length, 1);
});

test('a key is parsed once, and anew when it is another', async () => {
  const stored = new Map([[1, [recordOf(1, 'k')]]]);
  const { keys, pass } = setUp(stored);
  const first = await keys.read(1, url);
  pass(1_000);
  assert.equal(await keys.read(1, url), first);
  stored.set(1, [recordOf(1, 'k')]);
  pass(1_000);
  assert.notEqual(await keys.read(1, url), first);
});

test('a key of another place, a damaged one, or no key to decrypt with: none of the project signs', async () => {
  const good = recordOf(1, 'k');
  for (const [records, withBox] of [
    [[good, recordOf(2, 'l')], true],
    [[good, recordOf(1, 'l', { secret: 'whsec_x' })], true],
    [[{ ...good, id: 'l' }, good], true],
    [[good], false],
  ] as const) {
    const { keys } = setUp(new Map([[1, [...records]]]), { withBox });
    assert.equal(await keys.read(1, url), 'secret_unreadable');
    assert.equal(keys.known(1, url), undefined);
    assert.equal(await keys.read(1, url), 'secret_unreadable', 'also from what is kept');
  }
});

test('the keys of the most specific pattern sign, and no others', async () => {
  const stored = new Map([
    [
      1,
      [
        recordOf(1, 'a'),
        recordOf(1, 'b', { destination: '*.example.com' }),
        recordOf(1, 'c', { destination: '*.example.com' }),
        recordOf(1, 'd', { destination: 'api.example.com:8443' }),
      ],
    ],
    [2, [recordOf(2, 'e', { destination: 'api.example.com' })]],
    [3, [recordOf(3, 'f'), recordOf(4, 'g', { destination: 'api.example.com' })]],
  ]);
  const { keys } = setUp(stored);
  for (const [project, to, count] of [
    [1, 'https://example.com/', 1],
    [1, 'https://api.example.com/', 2],
    [1, 'https://api.example.com:8443/', 1],
    [1, 'https://API.example.com./', 2],
    [2, 'http://api.example.com/x', 1],
    [2, 'http://example.com/', 0],
    [3, 'https://example.com/', 1],
  ] as const) {
    assert.equal((await keys.read(project, to)).length, count, to);
    assert.equal(keys.known(project, to)?.length, count, to);
  }
  assert.notEqual(
    (await keys.read(1, 'https://api.example.com:8443/'))[0],
    (await keys.read(1, 'https://example.com/'))[0],
  );
  assert.equal(await keys.read(3, url), 'secret_unreadable', 'of that destination only');
});

test('without the database what goes to a destination without keys goes on, what has keys waits', async () => {
  const { keys, pass, setDown } = setUp(
    new Map([[1, [recordOf(1, 'k', { destination: 'api.example.com' })]]]),
  );
  assert.deepEqual(await keys.read(1, 'https://example.com/'), []);
  setDown(true);
  pass(900);
  assert.deepEqual(await keys.read(1, 'https://example.com/'), []);
  await assert.rejects(keys.read(1, url));
});

for (const isMany of [false, true]) {
  const which = isMany ? ' (where many have keys)' : '';
  test(`without the database a project with keys waits; one without goes on until the lease ends${which}`, async () => {
    const stored = new Map([[1, [recordOf(1, 'k')]]]);
    const { keys, pass, setDown } = setUp(stored, { isMany });
    await Promise.all([keys.read(1, url), keys.read(2, url)]);
    setDown(true);
    pass(899);
    assert.equal((await keys.read(1, url)).length, 1);
    pass(1);
    await assert.rejects(keys.read(1, url));
    if (isMany) await assert.rejects(keys.read(3, url), 'of it nothing is known');
    assert.deepEqual(await keys.read(2, url), []);
    pass(3_100);
    await assert.rejects(keys.read(2, url));
    setDown(false);
    stored.set(2, [recordOf(2, 'k')]);
    assert.equal((await keys.read(2, url)).length, 1);
  });
}

test('which projects have keys is known by one statement; the others ask nothing, however many they are', async () => {
  const stored = new Map([[1, [recordOf(1, 'k')]]]);
  const { keys, asked, counts, pass } = setUp(stored);
  assert.equal(keys.known(5, url), undefined);
  await keys.refresh();
  for (let project = 2; project < 5_000; project++) assert.deepEqual(keys.known(project, url), []);
  assert.equal(keys.known(1, url), undefined);
  assert.equal((await keys.read(1, url)).length, 1);
  assert.deepEqual([asked, counts.projects], [[[1]], 1]);
  stored.set(2, [recordOf(2, 'k')]);
  pass(899);
  await settled();
  assert.deepEqual(keys.known(3_000, url), []);
  await settled();
  assert.equal(keys.known(2, url), undefined, 'it has one now');
  assert.equal((await keys.read(2, url)).length, 1);
  stored.delete(2);
  pass(900);
  assert.equal(keys.known(2, url), undefined);
  assert.deepEqual(await keys.read(2, url), []);
});

test('no more than 10,000 projects are kept, those read last', async () => {
  const { keys, asked } = setUp(new Map(), { isMany: true });
  await Promise.all(Array.from({ length: 10_001 }, (_, project) => keys.read(project, url)));
  assert.equal(keys.known(0, url), undefined);
  assert.ok(keys.known(1, url) !== undefined);
  assert.ok(Math.max(...asked.map(({ length }) => length)) <= 1_000);
});
