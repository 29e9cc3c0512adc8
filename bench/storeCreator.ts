import { serveParent } from './harness/child.ts';
import { createTimerCreator } from '../src/store/createTimers.ts';
import { createDatabase } from '../src/store/database.ts';
import type { NewTimer } from '../src/core/timer.ts';

const WAITING_MAX = 5_000;
const MONTH_MS = 30 * 86_400_000;

/** Creates timers through the store's own group commit, without HTTP, in a process of its own. */
async function create(input: { databaseUrl: string; count: number }): Promise<void> {
  const database = createDatabase({
    url: input.databaseUrl,
    transactionPooler: false,
    connectionsMax: 4,
    statementTimeoutMs: 30_000,
  });
  const creator = createTimerCreator({ database });
  let left = input.count;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      await creator.add(farTimer());
    }
  };
  await Promise.all(Array.from({ length: WAITING_MAX }, lane));
  await database.close();
}

function farTimer(): NewTimer {
  const dueAtMs = Date.now() + Math.floor((1 + Math.random()) * MONTH_MS);
  return {
    projectId: 1,
    due: { kind: 'at', dueAtMs },
    expiresAfterMs: null,
    request: {
      url: 'http://127.0.0.1:9/any',
      method: 'POST',
      headers: null,
      body: null,
      appendId: true,
      timeoutMs: null,
    },
    retry: null,
    labels: null,
    metadata: null,
    key: null,
    idempotencyKey: null,
  };
}

const handlers = { create };

export type StoreCreatorHandlers = typeof handlers;

serveParent(handlers);
