import type { MachineClock } from '../core/clock.ts';
import { createProjectCache } from './projectCache.ts';

/**
 * The public keys of projects, which anybody may ask for: however often they do, the store is asked
 * for one thing at a time. A cache of its own, so that whoever asks for many projects pushes out nothing
 * that attempts need.
 */
export function createPublishedKeys<Key>(options: {
  store: {
    published(projectIds: readonly number[]): Promise<ReadonlyMap<number, readonly Key[]>>;
  };
  clock: Pick<MachineClock, 'monotonicMs'>;
}): { published(projectId: number): Promise<readonly Key[]> } {
  const { store, clock } = options;
  return {
    published: createProjectCache<readonly Key[]>({ read: store.published, none: [], clock }).fresh,
  };
}
