#!/usr/bin/env node
import { SettingError } from '../config.ts';
import { version } from '../core/version.ts';
import { parseGiven } from './arguments.ts';
import { UsageError, type Command } from './command.ts';
import { commands } from './commands.ts';
import { failureText } from './failure.ts';
import { commandHelp, overview } from './help.ts';
import { nearest } from './nearest.ts';
import { openTerminal } from './terminal.ts';

/** Commands that run until they are told to stop, by handling signals themselves. */
const services = new Set(['dev', 'serve']);

const endGraceMs = 500;

// Whoever reads (`head`, a pager) may have seen enough.
process.stdout.on('error', (err) => {
  if ('code' in err && err.code === 'EPIPE') process.exit(0);
  throw err;
});
process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const [first = 'help'] = args;
  if (first === '--version') {
    console.log(version);
    return 0;
  }
  if (['help', '--help', '-h'].includes(first)) {
    console.log(overview(commands));
    return 0;
  }
  const command = commands.find(({ path }) => path.every((word, place) => args[place] === word));
  return command === undefined
    ? withoutCommand(args)
    : run(command, args.slice(command.path.length));
}

/** `belfry timers` alone asks for help; anything else is a mistake. */
function withoutCommand(args: readonly string[]): number {
  const [first = '', second] = args;
  const below = commands.filter(({ path }) => path.length > 1 && path[0] === first);
  if (below.length > 0 && (second === undefined || second === '--help' || second === '-h')) {
    console.log(overview(commands, [first]));
    return 0;
  }
  const given = below.length > 0 ? `${first} ${second}` : first;
  const names = commands.map(({ path }) => path.join(' '));
  // Also of the timer commands by their last word, for who forgets the first.
  const byLastWord = commands.find(({ path }) => path.length > 1 && path.at(-1) === given);
  const meant = byLastWord?.path.join(' ') ?? nearest(given, names);
  const hint = meant === undefined ? '' : `; did you mean "belfry ${meant}"?`;
  console.error(`belfry: unknown command "${given}"${hint}\n\n${overview(commands)}`);
  return 2;
}

async function run(command: Command, args: readonly string[]): Promise<number> {
  const abort = new AbortController();
  let url = '';
  let isRunning = false;
  try {
    const given = parseGiven(command, args);
    if (given.has('help')) {
      console.log(commandHelp(command));
      return 0;
    }
    const name = command.path.join(' ');
    if (!services.has(name)) endOnSignals(abort);
    const terminal = await openTerminal(command, given, abort.signal);
    ({ url } = terminal);
    isRunning = true;
    return await command.run(given, terminal);
  } catch (err) {
    if (abort.signal.aborted) return 130;
    console.error(`belfry: ${failureText(err, url)}`);
    if (err instanceof UsageError) {
      const name = command.path.join(' ');
      console.error(`Try "belfry ${name} --help".`);
    }
    const isMistake = err instanceof UsageError || err instanceof SettingError || !isRunning;
    return isMistake ? 2 : 1;
  }
}

/** The first signal asks the command to end; one that does not is ended soon after. */
function endOnSignals(abort: AbortController): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      abort.abort();
      setTimeout(() => process.exit(130), endGraceMs).unref();
    });
  }
}
