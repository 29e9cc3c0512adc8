import type { Database } from './database.ts';

/** What is one for all processes over a database; made by the migrations. */
export interface Installation {
  /** Names it in `webhook-id`. */
  readonly id: string;
  /** Signs what callers bring back: the tokens of bulk changes. */
  readonly secret: string;
}

export async function readInstallation(database: Database): Promise<Installation> {
  const [row] = await database.query<[id: string, secret: string]>({
    name: 'installation',
    text: 'SELECT id, secret FROM belfry.installation',
  });
  if (row === undefined)
    throw new Error('the installation has no id: belfry.installation is empty');
  const [id, secret] = row;
  return { id, secret };
}

/** Whether the first token was given. */
export async function isInitialised(database: Database): Promise<boolean> {
  const [row] = await database.query<[boolean]>({
    name: 'is_initialised',
    text: 'SELECT initialised_at IS NOT NULL FROM belfry.installation',
  });
  return row?.[0] ?? true;
}
