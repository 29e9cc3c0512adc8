import { dayMs, type Retention } from '../../src/core/partitionPlan.ts';

/** What the settings say when nothing is set. */
export const defaultRetention: Retention = { historyMs: 30 * dayMs, failedMs: 90 * dayMs };
