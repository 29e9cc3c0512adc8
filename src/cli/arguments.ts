import { parseArgs } from 'node:util';
import { UsageError, type Command, type Given, type Option } from './command.ts';
import { nearest } from './nearest.ts';

const help: Option = { name: 'help', about: 'this page' };

/** Every option of a command, `--help` included. */
export function optionsOf(command: Command): readonly Option[] {
  return [...command.options, help];
}

/**
 * Reads what stands behind a command.
 * @throws UsageError that names what is wrong, and what may have been meant.
 */
export function parseGiven(command: Command, args: readonly string[]): Given {
  const options = optionsOf(command);
  const values = new Map<string, string[]>();
  const operands: string[] = [];
  for (const token of tokensOf(options, args)) {
    if (token.kind === 'positional') operands.push(token.value);
    if (token.kind !== 'option') continue;
    const name = token.name === 'h' ? 'help' : token.name;
    const option = options.find((known) => known.name === name);
    if (option === undefined) throw unknownOption(token.rawName, options);
    const earlier = values.get(name) ?? [];
    values.set(name, [...earlier, valueOf(option, token)]);
  }
  if (!values.has('help')) checkOperands(command, operands);
  return {
    operands,
    text: (name) => values.get(name)?.at(-1),
    texts: (name) => values.get(name) ?? [],
    has: (name) => values.has(name),
  };
}

function tokensOf(options: readonly Option[], args: readonly string[]) {
  const types = options.map(({ name, takes }) => {
    const type = takes === undefined ? ('boolean' as const) : ('string' as const);
    return [name, { type }] as const;
  });
  return parseArgs({
    args: [...args],
    options: Object.fromEntries(types),
    strict: false,
    allowPositionals: true,
    tokens: true,
  }).tokens;
}

function valueOf(
  option: Option,
  token: { readonly value: string | undefined; readonly inlineValue: boolean | undefined },
): string {
  const { name, takes, values } = option;
  const { value, inlineValue } = token;
  if (takes === undefined) {
    if (value !== undefined) throw new UsageError(`--${name} takes no value`);
    return '';
  }
  // `--body --json` has forgotten something; `--body=--json` means it.
  if (value === undefined || (inlineValue !== true && value.startsWith('--'))) {
    throw new UsageError(`--${name} needs ${takes}`);
  }
  const odd = values && value.split(',').find((single) => !values.includes(single));
  if (odd !== undefined) {
    throw new UsageError(`--${name} got "${odd}"; it takes one of ${values?.join(', ')}`);
  }
  return value;
}

function unknownOption(given: string, options: readonly Option[]): UsageError {
  const meant = nearest(
    given,
    options.map(({ name }) => `--${name}`),
  );
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  return new UsageError(`unknown option ${given}${hint}`);
}

function checkOperands(command: Command, operands: readonly string[]): void {
  const { path, operandsMin, operandsMax, operandValues } = command;
  const name = path.join(' ');
  if (operands.length < operandsMin) {
    throw new UsageError(`${name} needs ${command.operands}`);
  }
  const excess = operands[operandsMax];
  if (excess !== undefined) throw new UsageError(`${name} does not take "${excess}"`);
  const odd = operandValues && operands.find((operand) => !operandValues.includes(operand));
  if (odd !== undefined) {
    throw new UsageError(`${name} got "${odd}"; it takes ${operandValues?.join(', ')}`);
  }
}
