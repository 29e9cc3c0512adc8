import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const packageDir = join(root, 'packages/client');

const project = await mkdtemp(join(tmpdir(), 'belfry-client-'));
after(() => rm(project, { recursive: true, force: true }));

await run('npm', ['run', 'build:client'], { cwd: root });
const packed = await run('npm', ['pack', '--json', '--pack-destination', project], {
  cwd: packageDir,
});
const [tarball] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[] }];
await writeFile(join(project, 'package.json'), '{"private": true, "type": "module"}');
await run('npm', ['install', '--offline', '--no-audit', '--no-fund', `./${tarball.filename}`], {
  cwd: project,
});

test('the package holds what it needs, each source built with its types, and nothing else', async () => {
  const paths = tarball.files.map(({ path }) => path).toSorted();
  const modules = paths.filter((path) => path.endsWith('.js'));
  const types = paths.filter((path) => path.endsWith('.d.ts'));
  assert.ok(modules.includes('dist/index.js'));
  assert.deepEqual(
    types.map((path) => path.replace('.d.ts', '.js')),
    modules,
  );
  const others = paths.filter((path) => !path.startsWith('dist/'));
  assert.deepEqual(others, ['LICENSE', 'README.md', 'package.json']);
  assert.equal(paths.length, modules.length + types.length + others.length);
  for (const path of [...modules, ...types]) {
    const text = await readFile(join(packageDir, path), 'utf8');
    const imports = [...text.matchAll(/\bfrom\s+['"]([^'"]+)['"]/g)].map(([, name = '']) => name);
    // The compiler leaves `.ts` in declarations, and finds the declaration of that name.
    const expected = path.endsWith('.js') ? /^\.\/\w+\.js$/ : /^\.\/\w+\.ts$/;
    for (const name of imports) assert.match(name, expected, `${path} imports ${name}`);
  }
});

test('installed offline into an empty project, plain node imports it and makes a timer', async () => {
  await using database = await createTestDatabase();
  await using app = await startTestApp(database.url);
  await writeFile(
    join(project, 'use.js'),
    `import { createClient, BelfryApiError } from 'belfry-client';
     const client = createClient({ url: process.argv[2] });
     const { id } = await client.timers.create({ url: 'http://127.0.0.1:9/x', hours: 1 });
     const { status } = await client.timers.cancel(id);
     const unknown = await client.timers.get(id + 1).catch((err) => err);
     console.log(JSON.stringify({ status, code: unknown instanceof BelfryApiError && unknown.code }));`,
  );
  const { stdout } = await run(process.execPath, ['use.js', app.url], { cwd: project });
  assert.deepEqual(JSON.parse(stdout), { status: 'cancelled', code: 'timer_not_found' });
});

test('a consumer type-checks, strictly, with web types alone; wrong use does not', async () => {
  await writeFile(
    join(project, 'consumer.ts'),
    `import { createClient, verifyWebhook, BelfryApiError, type NewTimer } from 'belfry-client';
     const client = createClient({ url: 'http://127.0.0.1:5000', fetch });
     const timer: NewTimer = { url: 'https://a.test', delay: 'PT1S', json: { a: [1] } };
     export async function use(request: Request): Promise<string> {
       const { id } = await client.timers.create(timer, { signal: AbortSignal.timeout(1) });
       for await (const { status } of client.timers.list({ status: ['live', 'failed'] })) {
         const known: 'pending' | 'delivering' | 'retrying' | 'succeeded' | 'failed' | 'cancelled' = status;
         console.log(known);
       }
       try {
         await client.timers.update(id, { labels: null, seconds: 5 }, { ifMatch: 1 });
       } catch (err) {
         if (err instanceof BelfryApiError && err.code === 'version_mismatch') console.log(err.fields);
       }
       return (await verifyWebhook('whsec_YQ==', request.headers, await request.arrayBuffer())).id;
     }
     // @ts-expect-error two ways of saying when
     export const twice: NewTimer = { url: 'x', seconds: 1, delay: 1 };
     // @ts-expect-error two bodies
     export const bodies: NewTimer = { url: 'x', body: 'a', json: 1 };
     // @ts-expect-error no such field
     export const unknown: NewTimer = { url: 'x', dealy: 1 };
     // @ts-expect-error no such status
     client.timers.list({ status: 'done' });
    `,
  );
  await writeFile(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        target: 'es2022',
        lib: ['es2022', 'dom', 'dom.iterable'],
        module: 'nodenext',
        types: [],
      },
      files: ['consumer.ts'],
    }),
  );
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  await run(process.execPath, [tsc, '-p', project]).catch((err: unknown) => {
    assert.fail(String((err as { stdout?: unknown }).stdout));
  });
});
