import { startApp, type App } from '../app.ts';
import { readConfig, type RunMode } from '../config.ts';
import { version } from '../core/version.ts';
import { createLog } from '../telemetry/log.ts';

const stopGraceMs = 30_000;

/**
 * Runs the service until SIGTERM or SIGINT, then drains. A second signal exits at once. Exit codes:
 * 0 after a drain, 1 when it could not start or a defect ended it, 2 for a bad setting.
 */
export async function runService(mode: RunMode): Promise<void> {
  const config = readConfig(mode);
  const log = await createLog({ level: config.logLevel, pretty: mode === 'dev' });
  const starting = new AbortController();
  let app: Awaited<ReturnType<typeof startApp>> | undefined;
  let stopping = false;

  async function shutDown(signal: NodeJS.Signals): Promise<void> {
    if (stopping) process.exit(exitCodeOf(signal));
    stopping = true;
    log.info({ signal }, 'stopping: attempts under way may end, the rest is given back');
    starting.abort(new Error(`stopped by ${signal} while starting`));
    if (app === undefined) return;
    // Whatever hangs (a database that does not answer, say) must not hold the process for ever: what
    // it holds is then taken over as after a crash.
    const patienceMs = config.shutdownTimeoutMs + stopGraceMs;
    setTimeout(() => {
      log.fatal('the shutdown hangs: exiting');
      log.flush(() => process.exit(1));
    }, patienceMs).unref();
    await app.stop();
    log.info('stopped');
    log.flush(() => process.exit(0));
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => void shutDown(signal));
  }
  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'a defect of Belfry ends this process; its timers will be taken over');
    log.flush(() => process.exit(1));
    setTimeout(() => process.exit(1), 500);
  });

  try {
    app = await startApp(config, log, starting.signal);
  } catch (err) {
    if (stopping) process.exit(0);
    throw err;
  }
  if (stopping) {
    await app.stop();
    process.exit(0);
  }
  if (mode === 'dev') greet(app);
  log.info({ url: app.url, version, mode, roles: config.roles }, 'ready');
}

function greet({ url, isOpen, embeddedDataDir: dataDir }: App): void {
  console.log(`Belfry ${version} for development: ${url ?? 'no API (ROLES)'}
  PostgreSQL: ${dataDir === undefined ? 'as DATABASE_URL says' : `embedded, data in ${dataDir}`}
  ${isOpen ? 'No token is asked for' : 'Callers need a token'}, and deliveries may go to this machine; "belfry serve" is for production.`);
}

function exitCodeOf(signal: NodeJS.Signals): number {
  return signal === 'SIGINT' ? 130 : 143;
}
