import assert from 'node:assert/strict';
import type { Database } from '../../src/store/database.ts';
import { sql } from './database.ts';
import type { Arrival } from './receiver.ts';

/** What a test knows that the service has promised, and what it saw. */
export interface Oracle {
  /** A create was answered 2xx. */
  acknowledged(id: number, dueAtMs: number): void;
  readonly promised: ReadonlyMap<number, number>;
  /** Arrivals by timer. */
  arrivalsOf(arrivals: readonly Arrival[]): Map<number, Arrival[]>;
  /** Waits until every promised timer has ended; fails after the deadline, naming some. */
  settled(database: Database, timeoutMs: number): Promise<void>;
  /** Compares promises, arrivals and what the database says; throws on the first broken one. */
  judge(database: Database, arrivals: readonly Arrival[]): Promise<Verdict>;
}

/** What `judge` found, all of it within the promises. */
export interface Verdict {
  readonly promised: number;
  readonly succeeded: number;
  /** Arrivals beyond the first of a timer. */
  readonly duplicates: number;
  /** Attempts recorded as lost with their process. */
  readonly lostAttempts: number;
}

interface Ending {
  readonly status: string;
  readonly failureCode: string | null;
  readonly lost: number;
  readonly attempts: number;
}

/** For timers whose URL has a path of `/<anything>` and the id appended. */
export function createOracle(): Oracle {
  const promised = new Map<number, number>();

  function arrivalsOf(arrivals: readonly Arrival[]): Map<number, Arrival[]> {
    const byTimer = new Map<number, Arrival[]>();
    for (const arrival of arrivals) {
      const id = idOf(arrival);
      const known = byTimer.get(id);
      if (known === undefined) byTimer.set(id, [arrival]);
      else known.push(arrival);
    }
    return byTimer;
  }

  return {
    acknowledged: (id, dueAtMs) => void promised.set(id, dueAtMs),
    promised,
    arrivalsOf,
    async settled(database, timeoutMs) {
      const giveUpAtMs = performance.now() + timeoutMs;
      for (;;) {
        const open = await openTimers(database, [...promised.keys()]).catch(() => undefined);
        if (open?.length === 0) return;
        if (performance.now() > giveUpAtMs) {
          const sample = open?.slice(0, 5).join(', ');
          assert.fail(
            `${open?.length} timers have not ended in ${timeoutMs} ms, such as ${sample}`,
          );
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async judge(database, arrivals) {
      const byTimer = arrivalsOf(arrivals);
      const endings = await readEndings(database, [...promised.keys()]);
      let duplicates = 0;
      let lostAttempts = 0;
      for (const [id, dueAtMs] of promised) {
        const came = byTimer.get(id) ?? [];
        const ending = endings.get(id);
        const about = `timer ${id}: ${JSON.stringify(ending)}, ${came.length} arrivals`;
        assert.ok(ending !== undefined, `lost, neither pending nor finished: ${about}`);
        assert.equal(ending.status, 'succeeded', about);
        assert.ok(came.length > 0, `succeeded without an arrival: ${about}`);
        // The one way to arrive again without having failed: the process died under the attempt.
        assert.ok(came.length - 1 <= ending.lost, `a duplicate without a lost attempt: ${about}`);
        assert.equal(new Set(came.map((one) => one.headers['webhook-id'])).size, 1, about);
        assert.equal(new Set(came.map((one) => one.headers['belfry-attempt'])).size, came.length);
        for (const { atMs } of came) {
          assert.ok(atMs >= dueAtMs, `early by ${dueAtMs - atMs} ms: ${about}`);
        }
        duplicates += came.length - 1;
        lostAttempts += ending.lost;
      }
      return { promised: promised.size, succeeded: promised.size, duplicates, lostAttempts };
    },
  };
}

/** The timer that an arrival is about: the last segment of its path. */
export function idOf(arrival: Pick<Arrival, 'path'>): number {
  return Number(arrival.path.slice(arrival.path.lastIndexOf('/') + 1));
}

async function openTimers(database: Database, ids: readonly number[]): Promise<number[]> {
  const rows = await sql<[number]>(
    database,
    `SELECT i.id FROM unnest($1::bigint[]) AS i(id)
     WHERE NOT EXISTS (SELECT 1 FROM belfry.history h WHERE h.id = i.id)`,
    [ids],
  );
  return rows.map(([id]) => id);
}

async function readEndings(
  database: Database,
  ids: readonly number[],
): Promise<Map<number, Ending>> {
  const rows = await sql<[number, string, string | null, number, number]>(
    database,
    `SELECT h.id, h.status, h.failure_code, count(a.*) FILTER (WHERE a.error_code = 'lost'),
       count(a.*)
     FROM belfry.history h LEFT JOIN belfry.attempts a ON a.timer_id = h.id
     WHERE h.id = ANY ($1::bigint[]) GROUP BY 1, 2, 3`,
    [ids],
  );
  return new Map(
    rows.map(([id, status, failureCode, lost, attempts]) => {
      return [id, { status, failureCode, lost, attempts }];
    }),
  );
}
