import { readConfig } from '../config.ts';
import { firstToken } from '../store/firstToken.ts';
import { withStore } from '../store/open.ts';
import { createLog } from '../telemetry/log.ts';

/** `belfry admin init`: on the database itself, for there is no token yet to ask the service with. */
export async function giveFirstToken(isAgain: boolean): Promise<string | undefined> {
  const config = readConfig('serve');
  const log = await createLog({ level: 'warn', pretty: true });
  return withStore({ ...config.database, log }, (database) => firstToken(database, isAgain));
}
