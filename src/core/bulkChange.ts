import { invalidField } from './errors.ts';
import type { TimerStatus } from './timer.ts';
import {
  isEmptyFilter,
  isFilterField,
  liveStatuses,
  parseTimerFilter,
  type TimerFilter,
} from './timerFilter.ts';

/** What can be done to all timers that a filter finds. */
export type BulkAction = 'cancel' | 'retry';

export interface BulkWish {
  readonly projectId: number;
  readonly action: BulkAction;
  /** Not empty, and of statuses that the action is for. */
  readonly filter: TimerFilter;
}

/** Counts of timers since the first step. */
export interface BulkTotals {
  readonly changed: number;
  /** It was too late for them. */
  readonly skipped: number;
  /** The process that holds them did not answer. */
  readonly failed: number;
  /** Looked through, with those that the filter does not mean. */
  readonly examined: number;
}

/** What a dry run found. */
export interface BulkPlan {
  readonly count: number;
  /** False: there are at least so many. */
  readonly isComplete: boolean;
  readonly token: string;
}

export interface BulkStep {
  readonly totals: BulkTotals;
  /** Goes on behind this step; null once all is done. */
  readonly token: string | null;
}

/** What emptying a project is about. */
export const everyLiveTimer: TimerFilter = parseTimerFilter({ status: 'live' });

/** The timers that the action can do anything about. */
const statusesFor: Readonly<Record<BulkAction, readonly TimerStatus[]>> = {
  cancel: liveStatuses,
  retry: ['failed', 'cancelled'],
};

/**
 * Reads the filter of a bulk change; its statuses default to all that the action is for.
 * @throws BelfryError `validation_failed` that names the field, `filter` when it says nothing.
 */
export function parseBulkFilter(action: BulkAction, value: unknown): TimerFilter {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField('filter', 'must be an object that says which timers are meant');
  }
  const unknown = Object.keys(value).find((name) => !isFilterField(name));
  if (unknown !== undefined) throw invalidField(`filter.${unknown}`, 'is not a field of a filter');
  const filter = parseTimerFilter(value, (name) => `filter.${name}`);
  if (isEmptyFilter(filter)) {
    throw invalidField('filter', 'must not be empty: it would mean every timer');
  }
  const possible = statusesFor[action];
  if (filter.statuses?.every((status) => possible.includes(status)) === false) {
    throw invalidField('filter.status', `must be of ${possible.join(', ')} for a ${action}`);
  }
  return { ...filter, statuses: filter.statuses ?? possible };
}
