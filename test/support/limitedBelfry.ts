import { startApp } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { testBook } from './destinationBook.ts';

/**
 * Belfry as a process of its own that knows one destination: `TEST_DESTINATION` is its origin and
 * `TEST_SETTINGS` what is set for it, as JSON.
 */
const { TEST_DESTINATION: origin, TEST_SETTINGS: settings, ...environment } = process.env;
const book = testBook();
if (origin !== undefined) book.set(origin, JSON.parse(settings ?? '{}') as object);
const config = readConfig('serve', environment);
const log = await createLog({ level: config.logLevel, pretty: false });
await startApp(config, log, undefined, book);
