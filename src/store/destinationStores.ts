import type { SecretBox } from '../core/secretBox.ts';
import type { Database } from './database.ts';
import { createDestinationBookStore } from './destinationBooks.ts';
import { createDestinationStore } from './destinations.ts';

/** All that is kept of destinations: for callers, and for those who fire. */
export function createDestinationStores(database: Database, box: SecretBox | undefined) {
  return {
    settings: createDestinationStore(database, box),
    book: createDestinationBookStore(database, box),
  };
}
