import { hostname } from 'node:os';
import type { Database } from './database.ts';

const register = {
  name: 'register_process',
  text: `
INSERT INTO belfry.processes (id, expires_at, host, pid)
VALUES ($1::bigint, clock_timestamp() + $2::float8 * interval '1 millisecond', $3, $4::integer)`,
};

// A renewal and the declaration of death update the same row: whichever comes second sees the
// other's result and does nothing. So a heartbeat that has lapsed may still be renewed as long as
// nobody has declared the death: after an outage of the database a process goes on with what it
// holds, and records what it has delivered meanwhile, instead of delivering it again.
const renew = {
  name: 'renew_process',
  text: `
UPDATE belfry.processes
SET expires_at = clock_timestamp() + $2::float8 * interval '1 millisecond'
WHERE id = $1::bigint AND NOT dead
RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::float8`,
};

const living = {
  name: 'living_processes',
  text: `
SELECT id FROM belfry.processes WHERE NOT dead AND expires_at > clock_timestamp() ORDER BY id`,
};

// In an outage of the database all heartbeats lapse together: once it is back, everybody gets the
// time to renew before anybody is declared dead.
const declareDead = {
  name: 'declare_dead',
  text: `
UPDATE belfry.processes SET dead = true
WHERE NOT dead AND expires_at <= clock_timestamp()
  AND pg_postmaster_start_time() <= clock_timestamp() - interval '2 seconds'
RETURNING id`,
};

// Marked rather than deleted: whatever this process should still own is taken over at once. An
// expiry in the past says that nothing of it can have been started after.
const retire = {
  name: 'retire_process',
  text: `
UPDATE belfry.processes SET dead = true, expires_at = least(expires_at, clock_timestamp())
WHERE id = $1::bigint`,
};

const forget = {
  name: 'forget_processes',
  text: `
DELETE FROM belfry.processes
WHERE dead AND expires_at < statement_timestamp() - $1::float8 * interval '1 millisecond'`,
};

/** Heartbeat rows: one a process, alive until `expires_at`, taken over only once marked dead. */
export function createProcessStore(database: Database) {
  return {
    async register(id: number, ttlMs: number): Promise<void> {
      await database.query(register, [id, ttlMs, hostname(), process.pid]);
    },
    /** The database's clock at the renewal; undefined when the process has been declared dead. */
    async renew(id: number, ttlMs: number): Promise<number | undefined> {
      return (await database.query<[number]>(renew, [id, ttlMs]))[0]?.[0];
    },
    /** Those with a heartbeat, which is all that fire timers, in the order of ids. */
    async living(): Promise<number[]> {
      return (await database.query<[number]>(living)).map(([id]) => id);
    },
    /** Declares every process dead whose heartbeat has lapsed; resolves with their ids. */
    async declareDead(): Promise<number[]> {
      return (await database.query<[number]>(declareDead)).map(([id]) => id);
    },
    /** The orderly end of a process. */
    async retire(id: number): Promise<void> {
      await database.query(retire, [id]);
    },
    /** Deletes rows of processes that died longer than `ageMs` ago and own nothing any more. */
    async forget(ageMs: number): Promise<void> {
      await database.query(forget, [ageMs]);
    },
  };
}

export type ProcessStore = ReturnType<typeof createProcessStore>;
