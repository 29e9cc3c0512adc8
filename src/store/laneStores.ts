import { createBreakerStore } from './breakers.ts';
import type { Database } from './database.ts';
import { createDestinationLaneStore } from './destinationLanes.ts';
import { createLaneStore } from './lanes.ts';

/** Where timers wait: for their project, and for their destination. */
export function createLaneStores(database: Database) {
  return {
    breakers: createBreakerStore(database),
    projects: createLaneStore(database),
    destinations: createDestinationLaneStore(database),
  };
}
