import type { BreakerService } from '../api/routes/breakers.ts';

/** The breakers as callers see and reset them; where timers are fired, a reset is looked at at once. */
export function breakerService(
  store: BreakerService,
  refresh: (() => Promise<unknown>) | undefined,
): BreakerService {
  return {
    list: store.list,
    async reset(destination, actor) {
      const isReset = await store.reset(destination, actor);
      // Where this fails, the next look finds it.
      if (isReset) await refresh?.().catch(() => undefined);
      return isReset;
    },
  };
}
