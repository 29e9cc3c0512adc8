import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import type { Command } from '../src/cli/command.ts';
import { commands } from '../src/cli/commands.ts';
import { commandLineSettings } from '../src/cli/config.ts';
import { optionsOf } from '../src/cli/arguments.ts';
import { aboutOption, optionText, usageOf } from '../src/cli/help.ts';
import { errorCatalogue } from '../src/core/errors.ts';
import { settingGroups, type Setting } from '../src/settings.ts';

/** A page that is made from tables in the code. */
export interface Page {
  readonly path: string;
  text(): Promise<string>;
}

/** `npm run docs` writes these pages; a test asserts that they are up to date. */
export const pages: readonly Page[] = [
  page('settings.md', 'src/settings.ts', settingsPage),
  page('cli.md', 'src/cli', commandsPage),
  page('api.md', 'src/core/errors.ts', apiPage),
];

function page(name: string, source: string, make: () => string): Page {
  const path = join(import.meta.dirname, name);
  return {
    path,
    async text() {
      const note = `<!-- Made by docs/generate.ts from ${source}: change it there and run "npm run docs". -->`;
      return format(`${note}\n\n${make()}`, { ...(await resolveConfig(path)), filepath: path });
    },
  };
}

function settingsPage(): string {
  const groups = settingGroups.map(
    ({ title, table }) => `## ${title}

| setting | takes | default | meaning |
| --- | --- | --- | --- |
${Object.entries(table).map(row).join('\n')}`,
  );
  return `# Settings

Settings come from the environment. They are checked at start: a bad one stops the process with exit
code 2 and one line that names it, what it got and what it takes. A setting that is given wins over
the defaults of either way to run, \`belfry serve\` (production) and \`belfry dev\` (for trying it
out); where the two differ, both defaults are listed. Blanks around a value do not count. What is
secret (DATABASE_URL, DATABASE_DIRECT_URL, POSTGRES_PASSWORD, SECRET_KEYS, EGRESS_PROXY,
BROKER_CONNECTION) may stand in a file instead: \`POSTGRES_PASSWORD_FILE=/run/secrets/password\`.

${groups.join('\n\n')}
`;
}

function apiPage(): string {
  const codes = Object.entries(errorCatalogue).map(
    ([code, { status, title, retryable }]) =>
      `| \`${code}\` | ${status} | ${title} | ${retryable ? 'yes' : 'no'} |`,
  );
  return `# The API

The reference comes with the service: \`GET /docs\` shows it in a browser, without asking any other
host, and \`GET /openapi.json\` is the same as OpenAPI 3.1. Both are made from the schemas that check
and serialise, and the tests hold every answer against them.

## Errors

Errors are problem details (RFC 9457, \`application/problem+json\`) with a \`code\` that is never renamed
and never reused; a 400 about fields names each in \`fields\`. The reference lists the codes of every
route. Where the last column says yes, the same request may succeed later; a 503 says when in
\`Retry-After\`. Send a create again under the same \`Idempotency-Key\`.

| code | status | meaning | may pass |
| --- | --- | --- | --- |
${codes.join('\n')}
`;
}

function commandsPage(): string {
  return `# The command line

In a clone: \`npm run belfry -- <command>\`. On a terminal, commands print tables with local times;
with \`--json\`, or whenever the output is not a terminal, JSON with one value a line. Exit codes: 0
done, 1 failed (the service refused, or was not there), 2 a mistake in the command line or a setting.

| environment | takes | default | meaning |
| --- | --- | --- | --- |
${Object.entries(commandLineSettings).map(row).join('\n')}

${commands.map(commandSection).join('\n\n')}
`;
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
  for (const { path, text } of pages) await writeFile(path, await text());
}
