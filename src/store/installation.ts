import type { Database } from './database.ts';

/** Names this installation (its database) in `webhook-id`; made by the first migration. */
export async function readInstallationId(database: Database): Promise<string> {
  const [row] = await database.query<[string]>({
    name: 'installation_id',
    text: 'SELECT id FROM belfry.installation',
  });
  if (row === undefined)
    throw new Error('the installation has no id: belfry.installation is empty');
  return row[0];
}
