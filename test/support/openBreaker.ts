import { sql, type TestDatabase } from './database.ts';

/** As if the destination had failed; no probe comes. */
export async function openBreaker(
  { database }: Pick<TestDatabase, 'database'>,
  projectId: number,
  origin: string,
): Promise<void> {
  await sql(
    database,
    `INSERT INTO belfry.lanes
       (project_id, kind, target, state, closed_until, closed_reason, next_release_at, failing_since)
     VALUES ($1, 'destination', $2, 'limited', 'infinity', 'failing', now() + interval '1 day', now())`,
    [projectId, origin],
  );
}
