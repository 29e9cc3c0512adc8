import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { settingsPage, settingsPagePath } from '../../docs/generate.ts';
import { settings } from '../../src/settings.ts';

test('docs/settings.md is what the code says: "npm run docs" would change nothing', async () => {
  assert.equal(await readFile(settingsPagePath, 'utf8'), await settingsPage());
});

test('the settings page has a row for every setting', async () => {
  const page = await settingsPage();
  for (const name of Object.keys(settings)) assert.ok(page.includes(`| \`${name}\``), name);
});
