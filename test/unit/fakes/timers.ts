import type { TimerId } from '../../../src/core/ids.ts';
import type { ClaimedTimer, SentRequest } from '../../../src/core/timer.ts';

/** A claimed timer; what a test does not care about is filled in. */
export function claimedTimer(
  over: Partial<Omit<ClaimedTimer, 'id' | 'request'>> & { id: number; request?: SentRequest },
): ClaimedTimer & { readonly request: SentRequest } {
  return {
    projectId: 1,
    owner: 1,
    claim: 1,
    nextAtMs: 0,
    dueAtMs: over.nextAtMs ?? 0,
    expiresAtMs: null,
    attempts: 0,
    failures: 0,
    lostInRow: 0,
    request: {
      url: 'http://receiver.example/',
      method: 'POST',
      headers: null,
      body: null,
      appendId: true,
      timeoutMs: null,
    },
    bodyDeferred: false,
    retry: null,
    bytes: 600,
    ...over,
    id: over.id as TimerId,
  };
}
