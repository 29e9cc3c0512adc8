import type { Due } from './due.ts';
import { quotaExceeded, type Quotas } from './limits.ts';
import type { RetryPolicy } from './retryPolicy.ts';
import type { TimerContent } from './timer.ts';

/** What quotas are held against. */
export interface QuotaRules {
  /** At most the database's clock. */
  nowMs(): number;
  readonly retryDefaults: RetryPolicy;
}

/**
 * The content of a timer of a project with these quotas. One that says nothing of retries gets no more
 * attempts than are allowed; one that asks for more is refused.
 * @throws BelfryError `quota_exceeded`.
 */
export function contentWithin<Content extends Pick<TimerContent, 'request' | 'retry'>>(
  { bodyBytes, attempts }: Quotas,
  content: Content,
  { retryDefaults }: QuotaRules,
): Content {
  const { request, retry } = content;
  const bytes = request.body?.length ?? 0;
  if (bodyBytes !== undefined && bytes > bodyBytes) {
    throw quotaExceeded('bodyBytes', bodyBytes, bytes);
  }
  if (attempts === undefined) return content;
  if (retry === null) {
    if (retryDefaults.attemptsMax <= attempts) return content;
    return { ...content, retry: { ...retryDefaults, attemptsMax: attempts } };
  }
  if (retry.attemptsMax > attempts) {
    throw quotaExceeded('attempts', attempts, retry.attemptsMax);
  }
  return content;
}

/** @throws BelfryError `quota_exceeded`. */
export function assertDueWithin({ horizonMs }: Quotas, due: Due, { nowMs }: QuotaRules): void {
  if (horizonMs === undefined) return;
  const aheadMs = due.kind === 'after' ? due.delayMs : due.dueAtMs - nowMs();
  if (aheadMs > horizonMs) throw quotaExceeded('horizonMs', horizonMs, aheadMs);
}
