import type { Due } from './due.ts';
import type { TimerId } from './ids.ts';
import type { TimerContent, TimerStatus } from './timer.ts';

/** What a PATCH makes of a timer; null: stays as it is. */
export interface TimerEdit {
  readonly due: Due | null;
  readonly content: TimerContent | null;
}

interface TooLate {
  readonly kind: 'too_late';
  readonly status: TimerStatus;
}

interface NotFound {
  readonly kind: 'not_found';
}

export type CancelResult =
  { readonly kind: 'cancelled'; readonly id: TimerId } | TooLate | NotFound;
export type EditResult = { readonly kind: 'changed' } | TooLate | NotFound;
export type RetryResult =
  | { readonly kind: 'retried' }
  | { readonly kind: 'not_retryable'; readonly status: TimerStatus }
  | NotFound;

/** What became of a timer put by name. `previous` had the name, and is being delivered. */
export type PutResult<Created> =
  | { readonly kind: 'replaced'; readonly id: TimerId }
  | {
      readonly kind: 'created';
      readonly created: Created;
      readonly previous: { readonly id: TimerId; readonly status: TimerStatus } | null;
    };
