import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { test } from 'node:test';
import { pages } from '../../docs/generate.ts';
import { commands } from '../../src/cli/commands.ts';
import { errorCatalogue } from '../../src/core/errors.ts';
import { settings } from '../../src/settings.ts';

const textOf = (name: string) => pages.find(({ path }) => basename(path) === name)?.text();

for (const { path, text } of pages) {
  test(`docs/${basename(path)} is what the code says: "npm run docs" would change nothing`, async () => {
    assert.equal(await readFile(path, 'utf8'), await text());
  });
}

test('the settings page has a row for every setting, the API page for every error, the CLI page a part for every command', async () => {
  const settingsPage = String(await textOf('settings.md'));
  for (const name of Object.keys(settings)) assert.ok(settingsPage.includes(`| \`${name}\``), name);
  const apiPage = String(await textOf('api.md'));
  for (const code of Object.keys(errorCatalogue))
    assert.ok(apiPage.includes(`| \`${code}\``), code);
  const cliPage = String(await textOf('cli.md'));
  for (const { path } of commands) assert.ok(cliPage.includes(`\n## belfry ${path.join(' ')}\n`));
});
