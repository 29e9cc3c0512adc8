import { answerJson } from './answerJson.ts';
import { filterBody } from './list.ts';
import type { TimerFilter } from './requests.ts';
import type { CallOptions, Sender } from './sender.ts';

/** What a dry run found. */
export interface BulkPlan {
  /** How many timers it is about; at least so many when `is_complete` is false. */
  readonly count: number;
  readonly is_complete: boolean;
  /** Starts the real thing, within 10 minutes, for this filter. */
  readonly token: string;
}

/** How far a bulk change has come, in totals since its first step. */
export interface BulkProgress {
  readonly done: boolean;
  readonly changed: number;
  /** Those that it was too late for. */
  readonly skipped: number;
  /** Those whose process did not answer: nothing was changed of them. */
  readonly failed: number;
  /** Looked through, with those that the filter does not mean. */
  readonly examined: number;
  /** Goes on from here, also after a crash; null once done. */
  readonly token: string | null;
}

export type BulkResult = BulkProgress & { readonly done: true };

export interface BulkOptions extends CallOptions {
  /** Of a dry run, or of the last known progress, of the same change. Default: a dry run of its own. */
  readonly token?: string;
  /** Called after every step, and with the token of its own dry run before the first. */
  readonly onProgress?: (progress: BulkProgress) => void;
}

export type BulkAction = 'cancel' | 'retry';

/** A change that goes in steps: where it is asked for, and about what. */
interface Steps {
  readonly path: string;
  readonly about?: Readonly<Record<string, unknown>>;
}

export function planBulk(
  sender: Sender,
  action: BulkAction,
  filter: TimerFilter,
  options?: CallOptions,
): Promise<BulkPlan> {
  return planSteps(sender, stepsOf(action, filter), options);
}

/** Changes all timers that the filter finds, see `runSteps`. */
export function runBulk(
  sender: Sender,
  action: BulkAction,
  filter: TimerFilter,
  options?: BulkOptions,
): Promise<BulkResult> {
  return runSteps(sender, stepsOf(action, filter), options);
}

function stepsOf(action: BulkAction, filter: TimerFilter): Steps {
  return { path: `/timers/${action}`, about: { filter: filterBody(filter) } };
}

export function planSteps(sender: Sender, steps: Steps, options?: CallOptions): Promise<BulkPlan> {
  return post<BulkPlan>(sender, steps, { dry_run: true }, options);
}

/**
 * Goes in steps of up to about 5 s. Each step is repeatable: its token says where it starts.
 * `timeoutMs` bounds each step.
 */
export async function runSteps(
  sender: Sender,
  steps: Steps,
  { token: given, onProgress, ...options }: BulkOptions = {},
): Promise<BulkResult> {
  let token = given;
  if (token === undefined) {
    ({ token } = await planSteps(sender, steps, options));
    onProgress?.({ done: false, changed: 0, skipped: 0, failed: 0, examined: 0, token });
  }
  for (;;) {
    const step: BulkProgress = await post(sender, steps, { token }, options);
    onProgress?.(step);
    if (step.done) return { ...step, done: true };
    if (step.token === null)
      throw new Error(`a step of ${steps.path} is not done and has no token`);
    token = step.token;
  }
}

async function post<Body>(
  sender: Sender,
  { path, about }: Steps,
  said: { readonly dry_run: true } | { readonly token: string },
  options: CallOptions | undefined,
): Promise<Body> {
  const call = { method: 'POST', path, body: { ...about, ...said }, isRepeatable: true } as const;
  return answerJson(await sender.send(call, options));
}
