import type { Config } from '../config.ts';
import { createDatabase } from '../store/database.ts';
import { listSettings } from '../store/listStatements.ts';
import type { OpenStore } from '../store/open.ts';

/** Lists have connections of their own: no crowd of them may hold those of creates and claims. */
const listConnectionsMax = 3;

/** The pools of a process. How to close each is pushed onto `undo`. */
export function openDatabases(options: {
  store: OpenStore;
  config: Config;
  undo: (() => Promise<unknown> | undefined | void)[];
}) {
  const { store, config, undo } = options;
  const { transactionPooler, connectionsMax, statementTimeoutMs } = config.database;
  const open = (over: Partial<Parameters<typeof createDatabase>[0]>) => {
    const pool = createDatabase({
      ...store,
      transactionPooler,
      connectionsMax,
      statementTimeoutMs,
      ...over,
    });
    undo.push(() => pool.close());
    return pool;
  };
  return {
    database: open({}),
    // Heartbeats have a connection of their own: they must not queue behind the work they cover.
    heartbeats: open({
      connectionsMax: 1,
      statementTimeoutMs: Math.min(statementTimeoutMs, config.scheduler.heartbeatTtlMs),
    }),
    listDatabase: open({ connectionsMax: listConnectionsMax, settings: listSettings }),
  };
}
