import { answerJson } from './answerJson.ts';
import type { Breaker } from './responses.ts';
import type { CallOptions, Sender } from './sender.ts';

/** Destinations that are left alone because they fail or ask for less. */
export interface BreakersApi {
  list(options?: CallOptions): Promise<readonly Breaker[]>;
  /**
   * Sends to it again at once; for admins of the project.
   * @throws BelfryApiError `breaker_not_found`.
   */
  reset(destination: string, options?: CallOptions): Promise<{ readonly destination: string }>;
}

export function createBreakersApi(sender: Sender): BreakersApi {
  return {
    async list(options) {
      const call = { method: 'GET', path: '/breakers', isRepeatable: true } as const;
      const answer = await sender.send(call, options);
      return answerJson<{ breakers: Breaker[] }>(answer).breakers;
    },
    async reset(destination, options) {
      const path = `/breakers/${encodeURIComponent(destination)}/reset`;
      // Repeated, it would not find what it has reset.
      const call = { method: 'POST', path, isRepeatable: false } as const;
      return answerJson(await sender.send(call, options));
    },
  };
}
