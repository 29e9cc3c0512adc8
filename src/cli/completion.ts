import { optionsOf } from './arguments.ts';
import type { Command, Option } from './command.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A script that makes the shell complete `belfry`: sourced, or put where the shell looks. */
export function completionScript(shell: Shell, commands: readonly Command[]): string {
  if (shell === 'fish') return fishScript(commands);
  const script = bashScript(commands);
  return shell === 'bash' ? script : `autoload -U +X bashcompinit && bashcompinit\n${script}`;
}

/** Also what zsh runs, through bashcompinit. */
function bashScript(commands: readonly Command[]): string {
  const first = [...new Set(commands.map(({ path }) => path[0] ?? ''))];
  const groups = first.filter((word) =>
    commands.some(({ path }) => path.length > 1 && path[0] === word),
  );
  const cases = groups.map((word) => {
    const below = commands.filter(({ path }) => path[0] === word).map(({ path }) => path[1] ?? '');
    return `      ${word}) words="${below.join(' ')} --help" ;;`;
  });
  return `_belfry() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words="" command
  command="\${COMP_WORDS[1]}"
  case "$command" in
    ${groups.join('|')}) command="$command \${COMP_WORDS[2]}" ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${first.join(' ')} --help --version"
  elif [ "$COMP_CWORD" -eq 2 ] && [ "$command" != "\${COMP_WORDS[1]}" ]; then
    case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    esac
  else
    case "$command $previous" in
${commands.flatMap(valueCases).join('\n')}
    esac
    case "$command" in
${commands.map(wordsCase).join('\n')}
    esac
  fi
  COMPREPLY=( $(compgen -W "$words" -- "$current") )
}
complete -F _belfry belfry
`;
}

/** What may follow an option that takes a value: its values, files, or nothing of ours. */
function valueCases(command: Command): string[] {
  const name = command.path.join(' ');
  return optionsOf(command)
    .filter(({ takes }) => takes !== undefined)
    .map((option) => `      "${name} --${option.name}") ${valuesOf(option)}; return ;;`);
}

function valuesOf({ takes, values }: Option): string {
  if (values !== undefined)
    return `COMPREPLY=( $(compgen -W "${values.join(' ')}" -- "$current") )`;
  return takes === 'file' ? 'COMPREPLY=( $(compgen -f -- "$current") )' : 'COMPREPLY=()';
}

function wordsCase(command: Command): string {
  const options = optionsOf(command).map(({ name }) => `--${name}`);
  const words = [...(command.operandValues ?? []), ...options].join(' ');
  const files = command.operands.startsWith('<file')
    ? ` case "$current" in -*) ;; *) COMPREPLY=( $(compgen -f -- "$current") ); return ;; esac ;`
    : '';
  return `      "${command.path.join(' ')}")${files} words="${words}" ;;`;
}

function fishScript(commands: readonly Command[]): string {
  const lines = ['complete -c belfry -f'];
  for (const word of new Set(commands.map(({ path }) => path[0] ?? ''))) {
    lines.push(`complete -c belfry -n __fish_use_subcommand -a ${word}`);
  }
  for (const command of commands) {
    const [word = '', below] = command.path;
    const siblings = commands.filter(({ path }) => path[0] === word && path[1] !== undefined);
    let when = `__fish_seen_subcommand_from ${word}`;
    if (below !== undefined) {
      const names = siblings.map(({ path }) => path[1]).join(' ');
      const about = quoted(command.about.split(/[.:;]/)[0] ?? '');
      const isOpen = quoted(`${when}; and not __fish_seen_subcommand_from ${names}`);
      lines.push(`complete -c belfry -n ${isOpen} -a ${below} -d ${about}`);
      when += `; and __fish_seen_subcommand_from ${below}`;
    }
    for (const value of command.operandValues ?? []) {
      lines.push(`complete -c belfry -n ${quoted(when)} -a ${value}`);
    }
    if (command.operands.startsWith('<file'))
      lines.push(`complete -c belfry -n ${quoted(when)} -F`);
    for (const option of optionsOf(command)) {
      lines.push(
        `complete -c belfry -n ${quoted(when)} -l ${option.name} -d ${quoted(option.about)}${fishValue(option)}`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}

function fishValue({ takes, values }: Option): string {
  if (values !== undefined) return ` -x -a ${quoted(values.join(' '))}`;
  if (takes === undefined) return '';
  return takes === 'file' ? ' -r -F' : ' -x';
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
