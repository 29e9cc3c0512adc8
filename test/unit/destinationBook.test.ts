import assert from 'node:assert/strict';
import { test } from 'node:test';
import { destinationPattern, patternsOf } from '../../src/core/destinationPattern.ts';
import type { SendingSettings } from '../../src/core/destination.ts';
import { createDestinationBook } from '../../src/scheduler/destinationBook.ts';
import { createTlsIdentities } from '../../src/scheduler/tlsIdentities.ts';
import { TlsIdentity } from '../../src/core/tlsIdentity.ts';

function settings(projectId: number, pattern: string, over: object = {}): SendingSettings {
  return {
    id: 1,
    projectId,
    pattern,
    version: 1,
    concurrencyMax: null,
    ratePerSecond: null,
    timeoutMs: null,
    headers: null,
    isPaused: false,
    hasTls: false,
    ...over,
  };
}

/** A store in memory that counts looks; each change is the next revision, as in the database. */
function fakeStore(pageSize = 2) {
  const pages = new Map<number, { revision: number; settings: SendingSettings[] }>();
  let revision = 0;
  let looks = 0;
  let failing = false;
  return {
    looks: () => looks,
    fail: (value: boolean) => (failing = value),
    put: (projectId: number, ...patterns: string[]) =>
      pages.set(projectId, {
        revision: ++revision,
        settings: patterns.map((pattern) => settings(projectId, pattern)),
      }),
    async changedAfter(after: number) {
      looks += 1;
      await Promise.resolve();
      if (failing) throw new Error('the database does not answer');
      return [...pages]
        .map(([projectId, { revision: of, settings: all }]) => ({
          projectId,
          revision: of,
          settings: all,
        }))
        .filter((page) => page.revision > after)
        .toSorted((a, b) => a.revision - b.revision)
        .slice(0, pageSize);
    },
  };
}

test('the most specific pattern holds: with the port, the host, the longest suffix, all', async () => {
  const all = ['a.b.io:443', 'a.b.io', '*.b.io', '*.io', '*'];
  for (let from = 0; from < all.length; from++) {
    const store = fakeStore();
    store.put(1, ...all.slice(from).toReversed());
    const book = createDestinationBook(store);
    await book.refresh();
    for (const origin of ['https://a.b.io', 'http://a.b.io:443', 'https://a.b.io.']) {
      assert.equal(book.settingsOf(1, origin)?.pattern, all[from], origin);
      // Once more, from memory.
      assert.equal(book.settingsOf(1, origin)?.pattern, all[from], origin);
    }
  }
  const store = fakeStore();
  store.put(1, '*.b.io', '[::1]:80', '10.0.0.1');
  const book = createDestinationBook(store);
  await book.refresh();
  const patternOf = (origin: string) => book.settingsOf(1, origin)?.pattern;
  assert.equal(patternOf('https://b.io'), undefined, 'not the name itself');
  assert.equal(patternOf('https://ab.io'), undefined);
  assert.equal(patternOf('https://x.y.b.io:8443'), '*.b.io');
  assert.equal(patternOf('http://[::1]'), '[::1]:80');
  assert.equal(patternOf('https://[::1]'), undefined);
  assert.equal(patternOf('https://10.0.0.1:9'), '10.0.0.1');
  assert.equal(book.settingsOf(2, 'https://x.b.io'), undefined, 'of another project');
});

test('patterns are spelt as targets are', () => {
  for (const [given, pattern] of [
    ['API.Example.COM', 'api.example.com'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['*.BÜCHER.example.', '*.xn--bcher-kva.example'],
    ['[2001:DB8:0::1]:8443', '[2001:db8::1]:8443'],
    ['0x7f.1:80', '127.0.0.1:80'],
    ['localhost', 'localhost'],
    ['*', '*'],
  ] as const) {
    assert.equal(destinationPattern(given), pattern, given);
    assert.equal(destinationPattern(pattern), pattern, 'it is settled');
    if (!pattern.includes('*')) {
      const origin = new URL(`http://${given}`).origin;
      assert.ok(patternsOf(origin).includes(pattern), origin);
    }
  }
  for (const given of ['', '**', '*.', '*.*', 'a*', '*.a:80', '*.[::1]', 'a/b', 'u@a', 'a b']) {
    assert.equal(destinationPattern(given), undefined, given);
  }
});

test('a look brings what has changed, deletions as well, and nothing is asked twice', async () => {
  const store = fakeStore();
  const book = createDestinationBook(store);
  for (let project = 1; project <= 5; project++) store.put(project, 'a.io');
  await book.refresh();
  assert.equal(store.looks(), 4, 'two projects a look, and one that finds nothing');
  assert.ok([1, 2, 3, 4, 5].every((id) => book.settingsOf(id, 'https://a.io') !== undefined));
  store.put(2);
  store.put(3, 'b.io');
  await book.refresh();
  assert.equal(store.looks(), 6);
  assert.equal(book.settingsOf(2, 'https://a.io'), undefined);
  assert.equal(book.settingsOf(3, 'https://a.io'), undefined);
  assert.equal(book.settingsOf(3, 'https://b.io')?.pattern, 'b.io');
  await book.refresh();
  assert.equal(store.looks(), 7, 'one look where nothing has changed');
});

test('whoever asks during a look gets one that began after they asked', async () => {
  const store = fakeStore();
  const book = createDestinationBook(store);
  const first = book.refresh();
  store.put(1, 'a.io');
  const [second, third] = [book.refresh(), book.refresh()];
  await second;
  assert.equal(book.settingsOf(1, 'https://a.io')?.pattern, 'a.io');
  await Promise.all([first, third]);
  assert.equal(store.looks(), 3, 'they share it');
});

test('where the database does not answer, what was known holds', async () => {
  const store = fakeStore();
  store.put(1, 'a.io');
  const book = createDestinationBook(store);
  await book.refresh();
  store.fail(true);
  store.put(1);
  await assert.rejects(book.refresh(), /does not answer/);
  assert.equal(book.settingsOf(1, 'https://a.io')?.pattern, 'a.io');
  store.fail(false);
  await book.refresh();
  assert.equal(book.settingsOf(1, 'https://a.io'), undefined);
});

test('of a URL its origin counts; one that is none falls under the pattern of all alone', async () => {
  const store = fakeStore();
  store.put(1, '*');
  store.put(3, 'a.io');
  const book = createDestinationBook(store);
  await book.refresh();
  assert.equal(book.settingsOfUrl(1, 'no url')?.pattern, '*');
  assert.equal(book.settingsOfUrl(3, 'no url'), undefined);
  assert.equal(book.settingsOfUrl(1, 'https://a.io/x?y={{secret:z}}')?.pattern, '*');
  assert.equal(book.settingsOfUrl(2, 'https://a.io/x'), undefined);
});

test('identities are asked for once a version, and again after a failure', async () => {
  let asked = 0;
  let answer: () => Promise<TlsIdentity | null | undefined> = () =>
    Promise.resolve(new TlsIdentity('1.1', { certificate: null, key: null, ca: null }));
  const identities = createTlsIdentities({
    tlsIdentity: () => {
      asked += 1;
      return answer();
    },
  });
  const one = settings(1, 'a.io', { hasTls: true });
  const [first, second] = await Promise.all([identities.read(one), identities.read(one)]);
  assert.equal(first, second);
  assert.equal(asked, 1);
  answer = () => Promise.reject(new Error('the database does not answer'));
  assert.equal(await identities.read(one), first, 'it holds');
  await assert.rejects(identities.read({ ...one, version: 2 }));
  answer = () => Promise.resolve(null);
  assert.equal(await identities.read({ ...one, version: 2 }), null);
  assert.equal(asked, 3);
});
