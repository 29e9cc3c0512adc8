import { startApp, type App } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { request } from './http.ts';
import { secretKeysText } from './secretKeys.ts';

/** The whole service in this process, on a real port and a given database. */
export interface TestApp extends AsyncDisposable {
  readonly url: string;
  readonly app: App;
  post(body: unknown): Promise<{ status: number; body: Record<string, unknown> }>;
  get(path: string): Promise<{ status: number; body: Record<string, unknown> }>;
  cancel(id: unknown): Promise<{ status: number; body: Record<string, unknown> }>;
}

/**
 * Settings as the environment would give them; loopback targets are allowed unless set otherwise, and
 * there is a key for secrets unless SECRET_KEYS is `none`.
 */
export async function startTestApp(
  databaseUrl: string,
  environment: Record<string, string> = {},
): Promise<TestApp> {
  const { SECRET_KEYS: keys = secretKeysText('test'), ...others } = environment;
  const config = readConfig('serve', {
    DATABASE_URL: databaseUrl,
    PORT: '0',
    ALLOW_TARGETS: 'localhost,127.0.0.0/8,::1',
    LOG_LEVEL: 'silent',
    ...(keys === 'none' ? {} : { SECRET_KEYS: keys }),
    ...others,
  });
  const log = await createLog({ level: config.logLevel, pretty: false });
  const app = await startApp(config, log);
  const { url } = app;
  if (url === undefined) throw new Error('the test app has no API');
  return {
    url,
    app,
    post: (body) =>
      call(`${url}/timers`, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    get: (path) => call(`${url}${path}`),
    cancel: (id) => call(`${url}/timers/${String(id)}`, { method: 'DELETE' }),
    [Symbol.asyncDispose]: () => app.stop(),
  };
}

async function call(
  url: string,
  init: RequestInit = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const { status, body } = await request(url, init);
  return { status, body };
}
