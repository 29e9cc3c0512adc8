import type { Database } from './database.ts';

// Whoever asks second waits for the row and then sees what the first has made of it.
const acquire = {
  name: 'acquire_chore_lease',
  text: `
INSERT INTO belfry.chore_leases AS l (name, owner, expires_at)
VALUES ($1, $2::bigint, clock_timestamp() + $3::float8 * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
WHERE l.owner = excluded.owner OR l.expires_at <= clock_timestamp()
RETURNING l.owner`,
};

// Also when it has lapsed, as long as nobody else has taken it. Never anew: a lease that was taken
// and given up by another meanwhile does not come back.
const renew = {
  name: 'renew_chore_lease',
  text: `
UPDATE belfry.chore_leases
SET expires_at = clock_timestamp() + $3::float8 * interval '1 millisecond'
WHERE name = $1 AND owner = $2::bigint
RETURNING owner`,
};

const release = {
  name: 'release_chore_lease',
  text: `
DELETE FROM belfry.chore_leases WHERE name = $1 AND owner = $2::bigint`,
};

/**
 * One row a chore: who runs it, until when by the database's clock. A process that dies leaves its
 * lease to lapse.
 */
export function createChoreLeaseStore(database: Database) {
  return {
    /** False while another owner's lease lasts. */
    async acquire(name: string, owner: number, ttlMs: number): Promise<boolean> {
      return (await database.query(acquire, [name, owner, ttlMs])).length > 0;
    },
    /** False when it is not this owner's any more. */
    async renew(name: string, owner: number, ttlMs: number): Promise<boolean> {
      return (await database.query(renew, [name, owner, ttlMs])).length > 0;
    },
    async release(name: string, owner: number): Promise<void> {
      await database.query(release, [name, owner]);
    },
  };
}
