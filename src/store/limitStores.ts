import { createAllowanceStore } from './allowances.ts';
import type { Database } from './database.ts';
import { createLimitStore } from './limits.ts';
import { createQuotaLedgerStore } from './quotaLedgers.ts';

/** All that is kept of limits. `countDatabase` serves what may take long. */
export function createLimitStores(database: Database, countDatabase: Database) {
  return {
    limits: createLimitStore(database),
    ledgers: createQuotaLedgerStore({ database, countDatabase }),
    allowances: createAllowanceStore(database),
  };
}
