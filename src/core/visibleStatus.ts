import type { TimerStatus } from './timer.ts';

/** What a stored timer's status hangs on. */
interface OwnedStatus {
  readonly timer: { readonly status: TimerStatus };
  readonly owner: number | null;
  /** Since its owner's heartbeat has lapsed; negative while it lives, null when there is none. */
  readonly ownerLapsedMs: number | null;
  /** Until the next attempt; negative once past. */
  readonly dueInMs: number;
}

/**
 * `delivering` is not written anywhere. In the process that owns the timer it is known; elsewhere a
 * timer counts as being delivered once it is due and its owner lives.
 */
export function visibleStatus(stored: OwnedStatus, startedHere: boolean | undefined): TimerStatus {
  const { timer, owner, ownerLapsedMs, dueInMs } = stored;
  if (owner === null) return timer.status;
  const started = startedHere ?? (dueInMs <= 0 && ownerLapsedMs !== null && ownerLapsedMs < 0);
  return started ? 'delivering' : timer.status;
}
