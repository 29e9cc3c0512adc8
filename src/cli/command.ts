import type { BelfryClient } from '../../packages/client/src/index.ts';

/** An option of a command; without `takes` it is a switch. */
export interface Option {
  readonly name: string;
  /** What its value is, as the help names it. */
  readonly takes?: string;
  readonly about: string;
  /** Given several times, each counts. */
  readonly isRepeatable?: boolean;
  /** The only values it takes. */
  readonly values?: readonly string[];
}

/** A command, as help, docs and completion describe it and as it is run. */
export interface Command {
  /** Its words: `['timers', 'create']`. */
  readonly path: readonly string[];
  /** What stands behind it, such as `<url>`; '' for nothing. */
  readonly operands: string;
  readonly operandsMin: number;
  readonly operandsMax: number;
  /** The only operands it takes. */
  readonly operandValues?: readonly string[];
  readonly about: string;
  readonly options: readonly Option[];
  readonly examples: readonly string[];
  /** Resolves with the exit code. */
  run(given: Given, terminal: Terminal): Promise<number>;
}

/** What was given to a command. */
export interface Given {
  readonly operands: readonly string[];
  /** The last value of an option. */
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  has(name: string): boolean;
}

/** Where a command writes, and the service it talks to. */
export interface Terminal {
  /** JSON is wanted: `--json`, or nobody looks. */
  readonly isJson: boolean;
  readonly url: string;
  /** The file of `belfry login`. */
  readonly credentialsPath: string;
  readonly client: BelfryClient;
  readonly signal: AbortSignal;
  /** A value as JSON in one line. */
  json(value: unknown): void;
  line(text: string): void;
  /** A line for whoever looks, beside the results. */
  note(text: string): void;
  readonly paint: Paint;
  /** Replaces the progress shown before; '' takes it away. Nothing where nobody looks. */
  progress(text: string): void;
  /** A line that is not shown as it is typed; without a terminal the first line of the input. */
  secret(question: string): Promise<string | undefined>;
  /** Undefined when nobody can be asked. */
  ask(question: string): Promise<boolean | undefined>;
}

/** Colours, where there may be any. */
export type Paint = (colour: 'red' | 'green' | 'yellow' | 'dim' | 'bold', text: string) => string;

/** A command line that cannot be meant: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
