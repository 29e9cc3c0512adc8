import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import {
  commandsPage,
  commandsPagePath,
  settingsPage,
  settingsPagePath,
} from '../../docs/generate.ts';
import { commands } from '../../src/cli/commands.ts';
import { settings } from '../../src/settings.ts';

test('docs/settings.md is what the code says: "npm run docs" would change nothing', async () => {
  assert.equal(await readFile(settingsPagePath, 'utf8'), await settingsPage());
});

test('the settings page has a row for every setting', async () => {
  const page = await settingsPage();
  for (const name of Object.keys(settings)) assert.ok(page.includes(`| \`${name}\``), name);
});

test('docs/cli.md is what the commands say: "npm run docs" would change nothing', async () => {
  const page = await commandsPage();
  assert.equal(await readFile(commandsPagePath, 'utf8'), page);
  for (const { path } of commands) assert.ok(page.includes(`\n## belfry ${path.join(' ')}\n`));
});
