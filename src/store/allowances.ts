import { numberArray, textArray } from './arrayLiteral.ts';
import type { Database } from './database.ts';

/** So much is wanted of a bucket, which fills by `perSecond` up to `burst`. */
export interface BlockWish {
  readonly subject: string;
  readonly perSecond: number;
  readonly burst: number;
  /** Whole ones, at most `burst`. */
  readonly wanted: number;
}

export interface Block {
  /** Whole ones, at most as many as were wanted. */
  readonly granted: number;
  /** What is left in the bucket, fractions kept. */
  readonly level: number;
}

// By allowances_pkey, in the order of subjects so that two processes never wait for each other
// crosswise. A statement that had to wait for a row is older than what it finds there: then no time has
// passed, and none passes twice, so that whatever the interleaving no more than burst and what the time
// has brought is given. One of many subjects took 0.3 ms, and unlogged it waits for no disk: 0.2 ms a
// commit against 1.6.
const takeBlocks = {
  name: 'take_allowance_blocks',
  text: `
INSERT INTO belfry.allowances AS a (subject, per_second, burst, level, granted, filled_at)
SELECT i.subject, i.per_second, i.burst, i.burst - i.wanted, i.wanted, statement_timestamp()
FROM unnest($1::text[], $2::float8[], $3::float8[], $4::float8[])
  AS i(subject, per_second, burst, wanted)
ORDER BY i.subject
ON CONFLICT (subject) DO UPDATE SET per_second = excluded.per_second, burst = excluded.burst,
  level = ${filled()} - least(excluded.granted, floor(${filled()})),
  granted = least(excluded.granted, floor(${filled()})),
  filled_at = greatest(a.filled_at, excluded.filled_at)
RETURNING subject, granted, level`,
};

function filled(): string {
  return `least(excluded.burst, a.level + excluded.per_second
    * greatest(0, extract(epoch FROM excluded.filled_at - a.filled_at)))`;
}

// A bucket that is full again is as good as none.
const forgetFull = {
  name: 'forget_full_allowances',
  text: `
DELETE FROM belfry.allowances WHERE subject IN (
  SELECT subject FROM belfry.allowances
  WHERE filled_at < statement_timestamp() - interval '1 minute'
    - (burst / per_second) * interval '1 second'
  LIMIT 1000 FOR UPDATE SKIP LOCKED)`,
};

export function createAllowanceStore(database: Database) {
  return {
    /** A block for each, by subject: a subject at most once. */
    async take(wishes: readonly BlockWish[]): Promise<ReadonlyMap<string, Block>> {
      const rows = await database.query<[string, number, number]>(takeBlocks, [
        textArray(wishes.map(({ subject }) => subject)),
        numberArray(wishes.map(({ perSecond }) => perSecond)),
        numberArray(wishes.map(({ burst }) => burst)),
        numberArray(wishes.map(({ wanted }) => wanted)),
      ]);
      return new Map(rows.map(([subject, granted, level]) => [subject, { granted, level }]));
    },
    /** Some thousand at most. */
    async forget(): Promise<void> {
      await database.query(forgetFull);
    },
  };
}
