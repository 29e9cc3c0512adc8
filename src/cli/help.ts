import { version } from '../core/version.ts';
import { optionsOf } from './arguments.ts';
import type { Command, Option } from './command.ts';

/** What a command is called with. */
export function usageOf({ path, operands, options }: Command): string {
  const words = ['belfry', ...path, operands, options.length > 0 ? '[options]' : ''];
  return words.filter((word) => word !== '').join(' ');
}

export function optionText({ name, takes }: Option): string {
  return takes === undefined ? `--${name}` : `--${name} <${takes}>`;
}

export function aboutOption({ about, isRepeatable }: Option): string {
  return isRepeatable === true ? `${about}; may be repeated` : about;
}

/** The page of one command. */
export function commandHelp(command: Command): string {
  const options = optionsOf(command).map((option) => [optionText(option), aboutOption(option)]);
  const examples = command.examples.map((example) => `  ${example}`);
  return [
    `${usageOf(command)}\n\n${command.about}`,
    ...(options.length > 0 ? [`Options:\n${columns(options)}`] : []),
    ...(examples.length > 0 ? [`Examples:\n${examples.join('\n')}`] : []),
  ].join('\n\n');
}

/** The page of all commands, or of those below a word. */
export function overview(commands: readonly Command[], below: readonly string[] = []): string {
  const shown = commands.filter(({ path }) => below.every((word, place) => path[place] === word));
  const rows = shown.map((command) => [
    ['belfry', ...command.path, command.operands].join(' ').trimEnd(),
    firstSentence(command.about),
  ]);
  return `belfry ${version}: calls a URL at the time you say

${columns(rows)}

"belfry <command> --help" says more. Settings come from the environment; docs/settings.md lists them.`;
}

export function firstSentence(text: string): string {
  return text.split(/[.;] |\.$/)[0] ?? text;
}

function columns(rows: readonly (readonly string[])[]): string {
  const width = Math.max(...rows.map(([first = '']) => first.length));
  return rows.map(([first = '', second = '']) => `  ${first.padEnd(width)}  ${second}`).join('\n');
}
