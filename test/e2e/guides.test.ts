import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { readExamples } from '../support/guidePage.ts';
import { follow } from '../support/guideReader.ts';

const dir = new URL('../../docs/guides/', import.meta.url);
const pages = (await readdir(dir)).filter((name) => name !== 'README.md');

for (const name of pages) {
  void test(`docs/guides/${name}: whoever copies its examples in order gets what it shows`, async () => {
    await follow(await readExamples(`docs/guides/${name}`));
  });
}

void test('the first steps and the tour of the README do what it shows', async () => {
  const part = { from: '## Run it', to: '## The API' };
  const [start, ...examples] = await readExamples('README.md', part);
  // The tests run in an installed clone, and start the service on a port of their own.
  assert.equal(start?.text, 'npm ci\nnpm start');
  await follow(examples);
});

void test('every guide is in the index', async () => {
  const index = await readFile(new URL('README.md', dir), 'utf8');
  assert.ok(pages.length > 0);
  for (const name of pages) assert.ok(index.includes(`](${name})`), name);
});
