import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import type { Command } from '../src/cli/command.ts';
import { commands } from '../src/cli/commands.ts';
import { commandLineSettings } from '../src/cli/config.ts';
import { optionsOf } from '../src/cli/arguments.ts';
import { aboutOption, optionText, usageOf } from '../src/cli/help.ts';
import { settingGroups, type Setting } from '../src/settings.ts';

/**
 * Makes docs/settings.md from the tables in src/settings.ts, and docs/cli.md from the commands in
 * src/cli. `npm run docs` writes them; a test asserts that they are up to date.
 */
export const settingsPagePath = join(import.meta.dirname, 'settings.md');
export const commandsPagePath = join(import.meta.dirname, 'cli.md');

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
  return formatted(page, settingsPagePath);
}

export async function commandsPage(): Promise<string> {
  const page = `<!-- Made by docs/generate.ts from src/cli: change it there and run "npm run docs". -->

# The command line

In a clone: \`npm run belfry -- <command>\`. On a terminal, commands print tables with local times;
with \`--json\`, or whenever the output is not a terminal, JSON with one value a line. Exit codes: 0
done, 1 failed (the service refused, or was not there), 2 a mistake in the command line or a setting.

| environment | takes | default | meaning |
| --- | --- | --- | --- |
${Object.entries(commandLineSettings).map(row).join('\n')}

${commands.map(commandSection).join('\n\n')}
`;
  return formatted(page, commandsPagePath);
}

function commandSection(command: Command): string {
  const options = optionsOf(command).map(
    (option) => `| \`${cell(optionText(option))}\` | ${cell(aboutOption(option))} |`,
  );
  return `## belfry ${command.path.join(' ')}

\`${usageOf(command)}\`

${command.about}

| option | meaning |
| --- | --- |
${options.join('\n')}

\`\`\`sh
${command.examples.join('\n')}
\`\`\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

async function formatted(page: string, path: string): Promise<string> {
  return format(page, { ...(await resolveConfig(path)), filepath: path });
}

function row([name, setting]: [string, Setting<unknown>]): string {
  const { parser, about, secret } = setting;
  const meaning = secret === true ? `${about} Never shown in messages.` : about;
  const cells = [`\`${name}\``, parser.takes, defaultOf(setting), meaning];
  return `| ${cells.map(cell).join(' | ')} |`;
}

function defaultOf({ fallback, devFallback }: Setting<unknown>): string {
  if (devFallback === undefined) return shown(fallback);
  return `${shown(fallback)}; with \`belfry dev\` ${shown(devFallback)}`;
}

function shown(text: string | null): string {
  if (text === null) return 'not set';
  return text === '' ? 'empty' : `\`${text}\``;
}

if (import.meta.main) {
  await writeFile(settingsPagePath, await settingsPage());
  await writeFile(commandsPagePath, await commandsPage());
}
