import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { settingGroups, type Setting } from '../src/settings.ts';

/**
 * Makes docs/settings.md from the tables in src/settings.ts. `npm run docs` writes it; a test asserts
 * that it is up to date.
 */
export const settingsPagePath = join(import.meta.dirname, 'settings.md');

export async function settingsPage(): Promise<string> {
  const groups = settingGroups.map(
    ({ title, table }) => `## ${title}

| setting | takes | default | meaning |
| --- | --- | --- | --- |
${Object.entries(table).map(row).join('\n')}`,
  );
  const page = `<!-- Made by docs/generate.ts from src/settings.ts: change it there and run "npm run docs". -->

# Settings

Settings come from the environment. They are checked at start: a bad one stops the process with exit
code 2 and one line that names it, what it got and what it takes. A setting that is given wins over
the defaults of either way to run, \`belfry serve\` (production) and \`belfry dev\` (for trying it
out); where the two differ, both defaults are listed. Blanks around a value do not count.

${groups.join('\n\n')}
`;
  const options = await resolveConfig(settingsPagePath);
  return format(page, { ...options, filepath: settingsPagePath });
}

function row([name, setting]: [string, Setting<unknown>]): string {
  const { parser, about, secret } = setting;
  const meaning = secret === true ? `${about} Never shown in messages.` : about;
  const cells = [`\`${name}\``, parser.takes, defaultOf(setting), meaning];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function defaultOf({ fallback, devFallback }: Setting<unknown>): string {
  if (devFallback === undefined) return shown(fallback);
  return `${shown(fallback)}; with \`belfry dev\` ${shown(devFallback)}`;
}

function shown(text: string | null): string {
  if (text === null) return 'not set';
  return text === '' ? 'empty' : `\`${text}\``;
}

if (import.meta.main) await writeFile(settingsPagePath, await settingsPage());
