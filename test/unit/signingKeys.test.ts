import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSecretBox, parseSecretKeys } from '../../src/core/secretBox.ts';
import { signingKeyPlace } from '../../src/core/signingKey.ts';
import { newSigningSecret } from '../../src/core/webhookSignature.ts';
import { createSigningKeys } from '../../src/scheduler/signingKeys.ts';
import { secretKeysText } from '../support/secretKeys.ts';

const box = createSecretBox(parseSecretKeys(secretKeysText('a')) ?? []);

function recordOf(projectId: number, id: string, secret = newSigningSecret('v1')) {
  return { id, record: box.seal(signingKeyPlace(projectId, id), secret) };
}

/** `isMany`: more projects have keys than a process knows by heart. */
function setUp(
  stored: Map<number, { id: string; record: string }[]>,
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
  const reads = [1, 1, 2, 3, 2].map((project) => keys.read(project));
  await settled();
  assert.deepEqual(asked, [[1]]);
  release();
  assert.deepEqual(
    (await Promise.all(reads)).map((found) => found.length),
    [0, 0, 1, 0, 1],
  );
  assert.deepEqual(asked, [[1], [2, 3]]);
  for (const project of [1, 2, 3]) assert.ok(keys.known(project) !== undefined);
  assert.equal(keys.known(4), undefined);
});

test('what is used all the time is read in the background, what is older than 0.9 s before it is used', async () => {
  const stored = new Map([[1, [recordOf(1, 'k')]]]);
  const { keys, asked, pass } = setUp(stored);
  await keys.read(1);
  pass(449);
  assert.equal(keys.known(1)?.length, 1);
  assert.equal(asked.length, 1);
  stored.set(1, []);
  pass(1);
  assert.equal(keys.known(1)?.length, 1, 'nobody waits');
  await settled();
  assert.deepEqual([keys.known(1)?.length, asked.length], [0, 2]);
  stored.set(1, [recordOf(1, 'l')]);
  pass(900);
  assert.equal(keys.known(1), undefined);
  assert.equal((await keys.read(1)).length, 1);
});

test('a key is parsed once, and anew when it is another', async () => {
  const stored = new Map([[1, [recordOf(1, 'k')]]]);
  const { keys, pass } = setUp(stored);
  const first = await keys.read(1);
  pass(1_000);
  assert.equal(await keys.read(1), first);
  stored.set(1, [recordOf(1, 'k')]);
  pass(1_000);
  assert.notEqual(await keys.read(1), first);
});

test('a key of another place, a damaged one, or no key to decrypt with: none of the project signs', async () => {
  const good = recordOf(1, 'k');
  for (const [records, withBox] of [
    [[good, recordOf(2, 'l')], true],
    [[good, recordOf(1, 'l', 'whsec_x')], true],
    [[{ id: 'l', record: good.record }, good], true],
    [[good], false],
  ] as const) {
    const { keys } = setUp(new Map([[1, [...records]]]), { withBox });
    assert.equal(await keys.read(1), 'secret_unreadable');
    assert.equal(keys.known(1), undefined);
    assert.equal(await keys.read(1), 'secret_unreadable', 'also from what is kept');
  }
});

for (const isMany of [false, true]) {
  const which = isMany ? ' (where many have keys)' : '';
  test(`without the database a project with keys waits; one without goes on until the lease ends${which}`, async () => {
    const stored = new Map([[1, [recordOf(1, 'k')]]]);
    const { keys, pass, setDown } = setUp(stored, { isMany });
    await Promise.all([keys.read(1), keys.read(2)]);
    setDown(true);
    pass(899);
    assert.equal((await keys.read(1)).length, 1);
    pass(1);
    await assert.rejects(keys.read(1));
    if (isMany) await assert.rejects(keys.read(3), 'of it nothing is known');
    assert.deepEqual(await keys.read(2), []);
    pass(3_100);
    await assert.rejects(keys.read(2));
    setDown(false);
    stored.set(2, [recordOf(2, 'k')]);
    assert.equal((await keys.read(2)).length, 1);
  });
}

test('which projects have keys is known by one statement; the others ask nothing, however many they are', async () => {
  const stored = new Map([[1, [recordOf(1, 'k')]]]);
  const { keys, asked, counts, pass } = setUp(stored);
  assert.equal(keys.known(5), undefined);
  await keys.refresh();
  for (let project = 2; project < 5_000; project++) assert.deepEqual(keys.known(project), []);
  assert.equal(keys.known(1), undefined);
  assert.equal((await keys.read(1)).length, 1);
  assert.deepEqual([asked, counts.projects], [[[1]], 1]);
  stored.set(2, [recordOf(2, 'k')]);
  pass(899);
  await settled();
  assert.deepEqual(keys.known(3_000), []);
  await settled();
  assert.equal(keys.known(2), undefined, 'it has one now');
  assert.equal((await keys.read(2)).length, 1);
  stored.delete(2);
  pass(900);
  assert.equal(keys.known(2), undefined);
  assert.deepEqual(await keys.read(2), []);
});

test('no more than 10,000 projects are kept, those read last', async () => {
  const { keys, asked } = setUp(new Map(), { isMany: true });
  await Promise.all(Array.from({ length: 10_001 }, (_, project) => keys.read(project)));
  assert.equal(keys.known(0), undefined);
  assert.ok(keys.known(1) !== undefined);
  assert.ok(Math.max(...asked.map(({ length }) => length)) <= 1_000);
});
