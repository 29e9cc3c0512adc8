import { timerIdFromDatabase, type TimerId } from '../core/ids.ts';
import type { SecretBox } from '../core/secretBox.ts';
import type { NewTimer } from '../core/timer.ts';
import { numberArray } from './arrayLiteral.ts';
import { createBatcher } from './batcher.ts';
import { createNamed } from './createStatement.ts';
import { contentBytes } from './createTimers.ts';
import type { Database } from './database.ts';
import { createTimerInserter, type CreatedTimer, type NearTimers } from './insertTimers.ts';

interface NamedTimer {
  readonly timer: NewTimer;
  /** The timer that has the name, and from which it is taken; null for none. */
  readonly from: TimerId | null;
}

// Served by timers_key.
const findNamed = {
  name: 'find_named_timer',
  text: `SELECT id FROM belfry.timers WHERE project_id = $1::bigint AND key = $2::text`,
};

/** Timers by name, of which a project has one live timer at a time. */
export function createNamedTimerStore(options: {
  database: Database;
  near?: NearTimers;
  /** Without: no timer has secret headers. */
  box?: SecretBox | undefined;
}) {
  const { database, near, box } = options;
  const inserter = createTimerInserter({ database, near, box });
  const creates = createBatcher<NamedTimer, CreatedTimer | undefined>({
    name: 'creates by name',
    onLoss: 'fail',
    bytesOf: ({ timer }) => contentBytes(timer),
    flush: (named) =>
      inserter.insert(
        createNamed,
        named.map(({ timer }) => timer),
        [numberArray(named.map(({ from }) => from))],
      ),
  });
  return {
    /** The live timer of that name. */
    async find(projectId: number, key: string): Promise<TimerId | undefined> {
      const [row] = await database
        .inProject(projectId)
        .query<[number]>(findNamed, [projectId, key]);
      return row === undefined ? undefined : timerIdFromDatabase(row[0]);
    },
    /** Undefined when the name is another's: neither `from` nor free. */
    create: (timer: NewTimer, from: TimerId | null) => creates.add({ timer, from }),
  };
}
