import {
  BelfryApiError,
  type BulkOptions,
  type BulkPlan,
  type BulkResult,
  type TimerFilter,
} from '../../../packages/client/src/index.ts';
import { UsageError, type Command, type Given, type Terminal } from '../command.ts';
import { errorLine } from '../failure.ts';
import { progressBar } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { whenOf, whenOptions } from '../when.ts';
import { filterOf, filterOptions, idOf } from './filter.ts';

const bulkOptions = [
  ...filterOptions,
  { name: 'dry-run', about: 'only counts what a filter finds' },
  { name: 'yes', about: 'does not ask' },
  jsonOption,
  ...serviceOptions,
];
const ids = { operands: '[id…]', operandsMin: 0, operandsMax: Infinity } as const;

export const cancel: Command = {
  path: ['timers', 'cancel'],
  ...ids,
  about: 'Cancels timers by their ids, or all that a filter finds after asking.',
  options: bulkOptions,
  examples: [
    'belfry timers cancel 17 18',
    'belfry timers cancel --label cart-42 --yes',
    'belfry timers cancel --host old.example --dry-run',
  ],
  run: (given, terminal) =>
    changeSeveral(given, terminal, {
      verb: 'cancel',
      one: (id) => terminal.client.timers.cancel(id),
      plan: (filter) => terminal.client.timers.planCancel(filter),
      run: (filter, options) => terminal.client.timers.cancelWhere(filter, options),
    }),
};

export const retry: Command = {
  path: ['timers', 'retry'],
  ...ids,
  about:
    'Makes failed or cancelled timers pending again, by their ids or by a filter after asking.',
  options: [...whenOptions, ...bulkOptions],
  examples: [
    'belfry timers retry 17',
    'belfry timers retry 17 --in 10m',
    'belfry timers retry --status failed --host shop.example',
  ],
  run(given, terminal) {
    const when = whenOf(given);
    if (when !== undefined && given.operands.length === 0) {
      throw new UsageError('--in and --at go with ids, not with a filter');
    }
    return changeSeveral(given, terminal, {
      verb: 'retry',
      one: (id) => terminal.client.timers.retry(id, when),
      plan: (filter) => terminal.client.timers.planRetry(filter),
      run: (filter, options) => terminal.client.timers.retryWhere(filter, options),
    });
  },
};

interface Change {
  readonly verb: string;
  one(id: number): Promise<{ readonly id: number; readonly status: string }>;
  plan(filter: TimerFilter): Promise<BulkPlan>;
  run(filter: TimerFilter, options: BulkOptions): Promise<BulkResult>;
}

async function changeSeveral(given: Given, terminal: Terminal, change: Change): Promise<number> {
  const filter = filterOf(given);
  const hasFilter = Object.keys(filter).length > 0;
  const { verb } = change;
  if (given.operands.length > 0 && hasFilter) {
    throw new UsageError(`timers ${verb} takes ids or a filter, not both`);
  }
  if (given.operands.length > 0 && given.has('dry-run')) {
    throw new UsageError('--dry-run goes with a filter, not with ids');
  }
  if (given.operands.length > 0) {
    return changeEach(given.operands.map(idOf), terminal, change);
  }
  if (!hasFilter) throw new UsageError(`timers ${verb} needs ids, or a filter such as --label`);
  return changePlanned(given, terminal, {
    verb,
    plan: () => change.plan(filter),
    run: (options) => change.run(filter, options),
  });
}

/** Each in turn; one that fails does not keep the others. */
async function changeEach(
  wanted: readonly number[],
  terminal: Terminal,
  change: Change,
): Promise<number> {
  let exitCode = 0;
  for (const id of wanted) {
    try {
      const { status } = await change.one(id);
      if (terminal.isJson) terminal.json({ id, status });
      else terminal.line(`Timer ${id} is ${status}.`);
    } catch (err) {
      if (!(err instanceof BelfryApiError)) throw err;
      exitCode = 1;
      terminal.note(`belfry: ${errorLine(err)}`);
    }
  }
  return exitCode;
}

/** Counts, asks unless told not to, and goes through with it. */
export async function changePlanned(
  given: Given,
  terminal: Terminal,
  change: {
    readonly verb: string;
    plan(): Promise<BulkPlan>;
    run(options: BulkOptions): Promise<BulkResult>;
  },
): Promise<number> {
  const { count, is_complete: isComplete, token } = await change.plan();
  const found = `${isComplete ? '' : 'at least '}${count} timer${count === 1 ? '' : 's'}`;
  if (given.has('dry-run')) {
    if (terminal.isJson) terminal.json({ count, is_complete: isComplete });
    else terminal.line(`${found} to ${change.verb}.`);
    return 0;
  }
  if (!given.has('yes') && count > 0) {
    const answer = await terminal.ask(`${change.verb} ${found}?`);
    if (answer === undefined) {
      throw new UsageError(`${found} to ${change.verb}: add --yes, for nobody can be asked here`);
    }
    if (!answer) {
      terminal.note('Nothing was changed.');
      return 1;
    }
  }
  const result = await change.run({
    token,
    signal: terminal.signal,
    onProgress: ({ changed, skipped, failed }) =>
      terminal.progress(progressBar(changed + skipped + failed, count, 'changed')),
  });
  terminal.progress('');
  const { changed, skipped, failed } = result;
  if (terminal.isJson) terminal.json({ changed, skipped, failed });
  else terminal.line(`${changed} changed, ${skipped} skipped, ${failed} failed.`);
  return failed > 0 ? 1 : 0;
}
