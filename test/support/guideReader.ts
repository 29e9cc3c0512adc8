import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort, shellEnvironment, startBelfry } from './belfryProcess.ts';
import { createTestDatabase } from './database.ts';
import { eventually } from './eventually.ts';
import { shows, type Example } from './guidePage.ts';
import { startInBackground, startShell, type BackgroundCommand } from './shell.ts';
import { secretKeysText } from './secretKeys.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** What a reader has in the clone: commands of npm run there, and files are written there. */
const ofTheClone = ['package.json', 'node_modules', 'packages', 'sql', 'src'];

const strictCurl = 'curl() { command curl --fail-with-body "$@"; }';

/** Does what a page says, as its reader would: with a service just started, from top to bottom. */
export async function follow(examples: readonly Example[]): Promise<void> {
  assert.ok(examples.length > 0, 'there is nothing to follow');
  await using database = await createTestDatabase();
  await using own = await createTestDatabase({ empty: true });
  await using belfry = await startBelfry({
    command: 'dev',
    environment: { DATABASE_URL: database.url, SECRET_KEYS: secretKeysText('guides') },
  });
  const receiverPort = String(await freePort());
  // The one difference to the page: tests cannot have the ports and the database that it names.
  const ours = (text: string) =>
    text
      .replaceAll(/\b5000\b/g, new URL(belfry.url).port)
      .replaceAll(/\b7000\b/g, receiverPort)
      .replaceAll('postgres://localhost/shop', `'${own.url}'`);

  await using clone = await makeClone();
  const env = { ...shellEnvironment(), BELFRY_URL: belfry.url };
  const nodeDir = dirname(process.execPath);
  const place = {
    cwd: clone.path,
    env: { ...env, PATH: `${nodeDir}${delimiter}${process.env['PATH'] ?? ''}` },
  };
  await using terminal = startShell(place);
  await terminal.run('command -v curl || { echo "the guides need curl" >&2; false; }');
  await using others = new AsyncDisposableStack();
  let background: BackgroundCommand | undefined;

  for (const example of examples) {
    const text = ours(example.text);
    try {
      await step(example, text);
    } catch (err) {
      const shown = background === undefined ? '' : `\nin the background: ${background.output()}`;
      throw new Error(`${example.at} does not hold${shown}`, { cause: err });
    }
  }

  async function step(example: Example, text: string): Promise<void> {
    switch (example.kind) {
      case 'background': {
        await background?.[Symbol.asyncDispose]();
        const started = others.use(startInBackground(text, place));
        background = started;
        return await eventually('it listens', () => {
          assert.ok(!started.hasExited(), 'it has ended');
          return accepts(Number(receiverPort));
        }).then(() => undefined);
      }
      case 'file':
        return await writeTyped(clone.path, text);
      case 'sql':
        return assertShown(example.output, await answerOf(own.url, text));
      case 'run':
        // An error that the page does not show is one that it does not mean.
        await terminal.run(example.output === undefined ? strictCurl : 'unset -f curl');
        return assertShown(example.output, await terminal.run(text));
      case 'poll':
        return await pollFor(example.output, () => terminal.run(text));
    }
  }

  async function pollFor(output: string | undefined, run: () => Promise<string>): Promise<void> {
    let last = '';
    const isShown = async () => {
      last = await run();
      return shows(ours(output ?? ''), last);
    };
    await eventually('what the page shows', isShown).catch(() => assertShown(output, last));
  }

  function assertShown(output: string | undefined, printed: string): void {
    if (output === undefined || shows(ours(output), printed)) return;
    assert.fail(`the page shows\n${ours(output)}\nand it printed\n${printed}`);
  }
}

/** A directory with what a clone has, for files to be written in. */
async function makeClone(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'belfry-guide-'));
  for (const name of ofTheClone) await symlink(join(root, name), join(path, name));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** Writes the file that an example names, and checks its types as those of this repository. */
async function writeTyped(dir: string, text: string): Promise<void> {
  const [, name] = /^\/\/ (\w+\.ts)\n/.exec(text) ?? [];
  assert.ok(name !== undefined, 'its first line is to name the file');
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { noPropertyAccessFromIndexSignature: false, types: ['node'] },
    include: [name],
  };
  await writeFile(join(dir, name), `${text}\n`);
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(config));
  const tsc = join(root, 'node_modules/.bin/tsc');
  await promisify(execFile)(tsc, ['-p', dir]).catch((err: { stdout?: string }) => {
    throw new Error(`types of ${name}: ${err.stdout ?? ''}`, { cause: err });
  });
}

/** As psql prints it, but for blanks; '' for what gives no rows. */
async function answerOf(url: string, text: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const answers: unknown = await client.query({ text, rowMode: 'array' });
    // Several statements at once give a list.
    const last: unknown = Array.isArray(answers) ? answers.at(-1) : answers;
    const { fields, rows } = last as pg.QueryArrayResult<unknown[]>;
    if (fields.length === 0) return '';
    const table = [fields.map(({ name }) => name), ...rows].map((row) => row.map(String));
    const widths = fields.map((_, at) => Math.max(...table.map((row) => row[at]?.length ?? 0)));
    const rule = widths.map((width) => '-'.repeat(width + 2)).join('+');
    const [head = [], ...body] = table.map((row) => row.join('|'));
    return [head, rule, ...body, `(${rows.length} row${rows.length === 1 ? '' : 's'})`].join('\n');
  } finally {
    await client.end();
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
