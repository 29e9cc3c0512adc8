import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { startTestServer } from './support/testServer.ts';

/**
 * Runs the tests against a PostgreSQL of their own, started here and stopped at the end.
 *
 *   node test/run.ts              unit, property, integration and e2e tests
 *   node test/run.ts faults       one folder
 *   node test/run.ts test/unit/heap.test.ts
 *
 * BELFRY_TEST_POSTGRES=14 runs them on that major version (14 or 18, default 18).
 */
const folders = ['unit', 'property', 'integration', 'e2e'];

const wanted = process.argv.slice(2);
const files = (wanted.length > 0 ? wanted : folders).flatMap((name) =>
  name.endsWith('.ts') ? [name] : globSync(`test/${name}/**/*.test.ts`),
);
if (files.length === 0) {
  console.error(`no tests in ${wanted.join(' ')}`);
  process.exit(2);
}

const server = await startTestServer(process.env['BELFRY_TEST_POSTGRES'] ?? '18');
// Stopped from outside, the tests stop first and the server with them.
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
try {
  process.exitCode = await run(files, { BELFRY_TEST_DATABASE_URL: server.url });
} finally {
  await server.stop();
}

function run(paths: readonly string[], environment: Record<string, string>): Promise<number> {
  const child = spawn(
    process.execPath,
    ['--test', '--test-timeout=300000', '--test-concurrency=2', ...paths.toSorted()],
    { stdio: 'inherit', env: { ...process.env, ...environment }, signal: interrupted.signal },
  );
  return new Promise((resolve) => {
    child.on('error', () => undefined);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}
