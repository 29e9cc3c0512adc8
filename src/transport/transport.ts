import type { AttemptErrorCode, Outcome } from '../core/attempt.ts';
import type { TimerId } from '../core/ids.ts';
import type { SentRequest } from '../core/timer.ts';

/** One attempt to be made, due now. */
export interface Job {
  readonly timerId: TimerId;
  readonly projectId: number;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Where `prepare` is there: not whole, but with the origin of what that resolves with. */
  readonly request: SentRequest;
  /** When it was due by the database's clock (Unix epoch). */
  readonly dueAtMs: number;
  /** Not started at or after this; null for never too late. */
  readonly expiresAtMs: number | null;
  /** Whether it may start, and (asked once more) be written: the lease of its owner holds. */
  readonly mayStart: () => boolean;
  /**
   * Called when a slot is won, where something is left to do before the start: resolves with the
   * request as it is to be sent, undefined when the timer is not ours any more, or why the attempt has
   * failed before anything could be sent.
   */
  readonly prepare?: () => Promise<SentRequest | AttemptErrorCode | undefined>;
  /** Called once, at the instant from which on the attempt counts as started. */
  readonly onStart: () => void;
}

/** Carries due work from the scheduler to the delivery, and outcomes back. */
export interface Transport {
  /** Makes the attempt. Never rejects: what can go wrong is an outcome. */
  deliver(job: Job): Promise<Outcome>;
  /**
   * Takes a job back that has not started: true means that it will not start (its `deliver`
   * resolves with `not_started`, `recalled`), false that it has, or may have.
   */
  recall(timerId: TimerId): boolean;
}
