import { readConfig } from '../config.ts';
import { withStore } from '../store/open.ts';
import { createLog } from '../telemetry/log.ts';

/** `belfry migrate`: applies what is missing and says what it was. */
export async function migrateCommand(): Promise<void> {
  const config = readConfig('serve');
  const log = await createLog({ level: 'warn', pretty: true });
  const applied = await withStore({ ...config.database, log }, (_, applied) => applied);
  console.log(applied.length === 0 ? 'The schema is current.' : `Applied: ${applied.join(', ')}.`);
}
