import type { AttemptErrorCode, Outcome } from '../core/attempt.ts';
import type { TimerId } from '../core/ids.ts';
import type { SentRequest } from '../core/timer.ts';
import type { SigningKey } from '../core/webhookSignature.ts';

/** What is sent, and what signs it: none for an attempt that goes out unsigned. */
export interface PreparedRequest {
  readonly request: SentRequest;
  readonly signingKeys: readonly SigningKey[];
}

/** One attempt to be made, due now. */
export interface Job {
  readonly timerId: TimerId;
  readonly projectId: number;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Perhaps not whole, but with the origin of what `prepare` gives. */
  readonly request: SentRequest;
  /** When it was due by the database's clock (Unix epoch). */
  readonly dueAtMs: number;
  /** Not started at or after this; null for never too late. */
  readonly expiresAtMs: number | null;
  /** Whether it may start, and (asked once more) be written: the lease of its owner holds. */
  readonly mayStart: () => boolean;
  /**
   * Called when a slot is won: what is to be sent, at once where nothing is left to do before the
   * start; undefined when the timer is not ours any more, or why the attempt has failed before anything
   * could be sent.
   */
  readonly prepare: () => PreparedRequest | Promise<PreparedRequest | AttemptErrorCode | undefined>;
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
