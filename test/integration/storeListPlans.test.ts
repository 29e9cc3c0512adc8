import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ListOrder, ListPosition } from '../../src/core/cursor.ts';
import { parseTimerFilter, type FilterFields } from '../../src/core/timerFilter.ts';
import type { Database, Statement } from '../../src/store/database.ts';
import { createTimerPages } from '../../src/store/listPages.ts';
import { examinedMax, listSettings } from '../../src/store/listStatements.ts';
import { createTimerLister } from '../../src/store/listTimers.ts';
import { defaultRequestRole } from '../../src/store/projectQuery.ts';
import { ensurePartitions } from '../../src/store/partitions.ts';
import { defaultRetention, createTestDatabase, openDatabase, sql } from '../support/database.ts';
import {
  addPastPartitions,
  openListDatabase,
  seedOthers,
  seedTimers,
} from '../support/listedTimers.ts';

const db = await createTestDatabase({ preparedToday: true });
const listDatabase = openListDatabase(db.url);
after(async () => {
  await listDatabase.close();
  await db[Symbol.asyncDispose]();
});

const [[serverVersion] = []] = await sql<[number]>(
  db.database,
  `SELECT current_setting('server_version_num')::integer`,
);
const roundedTo = Number(serverVersion) < 180_000 ? 1 : 0.01;

const size = process.env['BELFRY_PLAN_TIMERS'];
const count = size === undefined ? 120_000 : Number(size);
const ofOthers = Math.floor(count / 6);
const days = 10;
const everyMs = (days * 86_400_000) / count;

before(async () => {
  const patient = openDatabase(db.url, 300_000);
  await ensurePartitions(patient, defaultRetention);
  await addPastPartitions(patient, days + 1);
  await seedTimers(patient, { count, everyMs });
  await seedOthers(patient, { firstId: count + 10, count: ofOthers });
  for (const table of ['timers', 'history', 'timer_labels']) {
    await sql(patient, `ANALYZE belfry.${table}`);
  }
  await patient.close();
});

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly Plans?: readonly PlanNode[];
}

/**
 * Rows read, whether they were let through or not; the fewest that the plan can stand for. It tells
 * averages over the loops of a node, rounded to whole rows before PostgreSQL 18 and to hundredths
 * since: half a row in each of 1,000 loops would count as 1,000.
 */
function rowsOf(nodes: readonly PlanNode[]): number {
  return nodes.reduce((sum, node) => sum + node['Actual Loops'] * leastPerLoop(node), 0);
}

function leastPerLoop(node: PlanNode): number {
  const { 'Actual Loops': loops, 'Rows Removed by Filter': removed = 0 } = node;
  const averages = [node['Actual Rows'], removed];
  const off = loops === 1 ? 0 : roundedTo / 2;
  return averages.reduce((sum, rows) => sum + Math.max(0, rows - off), 0);
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

type Asked = readonly [statement: Statement, values: readonly unknown[]];

/** What the lister asks of the database, run for its answers as well. */
async function asked(run: (database: Database) => Promise<unknown>): Promise<Asked[]> {
  const statements: Asked[] = [];
  await run({
    ...listDatabase,
    inProject: (projectId) => ({
      query(statement, values = []) {
        statements.push([statement, values]);
        return listDatabase.inProject(projectId).query(statement, values);
      },
    }),
  });
  return statements;
}

/** The plan as executed, as the request's role, in the mode that connections of lists have. */
async function executed([{ text }, values]: Asked, mode: string): Promise<PlanNode[]> {
  const literals = values.map((value) => {
    if (value === null) return 'NULL';
    return Array.isArray(value)
      ? `'{${value.join(',')}}'`
      : typeof value === 'string'
        ? `'${value}'`
        : JSON.stringify(value);
  });
  return listDatabase.session(async (client) => {
    await client.query(`BEGIN; SET LOCAL ROLE ${defaultRequestRole}`);
    await client.query("SET LOCAL belfry.project_id = '1'");
    await client.query(`SET LOCAL plan_cache_mode = ${mode}`);
    await client.query(`PREPARE listing AS ${text}`);
    const { rows } = await client.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }>(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE listing(${literals.join(', ')})`,
    );
    await client.query('DEALLOCATE listing');
    await client.query('ROLLBACK');
    const [plan] = rows[0]?.['QUERY PLAN'] ?? [];
    if (plan === undefined) throw new Error('no plan');
    return nodesOf(plan.Plan);
  });
}

/** Of unnamed statements behind a pooler as well. */
const modes = [listSettings.plan_cache_mode];
const scans = /^(Index|Index Only|Seq|Bitmap Heap|Tid) Scan$/;

interface Shape {
  readonly name: string;
  readonly fields: FilterFields;
  readonly order?: ListOrder;
  readonly limit?: number;
  /** Which index serves each table that is looked at; a name of none means all its partitions. */
  readonly indexes: Readonly<Record<string, RegExp>>;
  readonly examinedMax?: number;
  /** Sorts of one or two rows. */
  readonly maySort?: boolean;
}

const byId = { timers: /^timers_project_id$/, history: /_project_id_id_idx$/ };
/** One at a time: either index of live timers leads to it. */
const oneById = { ...byId, timers: /^timers_(pkey|project_id)$/ };
const hotById = { timers: byId.timers };
const nowhere = { host: 'nowhere.example.com' };
const shapes: readonly Shape[] = [
  { name: 'no filter', fields: {}, indexes: byId, examinedMax: 60 },
  { name: 'a filter that finds nothing', fields: nowhere, indexes: byId },
  { name: 'live', fields: { ...nowhere, status: 'live' }, indexes: hotById },
  { name: 'delivering', fields: { status: 'delivering' }, indexes: hotById },
  { name: 'failed', fields: { status: 'failed' }, indexes: { history_failed: byId.history } },
  { name: 'cancelled', fields: { status: 'cancelled' }, indexes: { history_done: byId.history } },
  {
    name: 'finished',
    fields: { ...nowhere, status: 'finished' },
    indexes: { history: byId.history },
  },
  {
    name: 'a broad label',
    fields: { ...nowhere, label: 'broad' },
    indexes: { timer_labels: /^timer_labels_pkey$/, ...oneById },
    examinedMax: 2 * examinedMax.label,
  },
  {
    name: 'a rare label',
    fields: { label: 'rare' },
    limit: 20,
    indexes: { timer_labels: /^timer_labels_pkey$/, ...oneById },
    examinedMax: 50,
  },
  {
    name: 'a key',
    fields: { key: 'k3' },
    limit: 20,
    indexes: { timers: /^timers_key$/, history: /_project_id_key_id_idx$/ },
    examinedMax: 40,
    maySort: true,
  },
  {
    name: 'soonest',
    fields: { ...nowhere, due_after: new Date().toISOString() },
    order: 'soonest',
    indexes: { timers: /^timers_(project_next_at|parked_project)$/ },
  },
];

for (const shape of shapes) {
  const { name, fields, order = 'newest', limit = 50, indexes } = shape;
  test(`${name}: its indexes give the order, and a step reads no more than it may`, async () => {
    const filter = parseTimerFilter(fields);
    const middle: ListPosition =
      order === 'newest'
        ? { order, beforeId: count / 2, fromId: 0 }
        : { order, nextAtMs: Date.now() + 1_000_000, id: 0 };
    for (const position of [undefined, middle]) {
      const [statement] = await asked(async (database) => {
        const lister = createTimerLister(database);
        const from = position ?? (await lister.start(order, 1, filter));
        await lister.summaries({ projectId: 1, filter, position: from, rowsMax: limit });
      });
      assert.ok(statement !== undefined);
      for (const mode of modes) judge(shape, await executed(statement, mode), `${name}, ${mode}`);
    }
    assert.ok(Object.keys(indexes).length > 0);
  });
}

function isPartOf(name: string, table: string): boolean {
  return table === name || (name.startsWith('history') && table.startsWith(name));
}

function judge(shape: Shape, nodes: readonly PlanNode[], what: string): void {
  const { indexes, maySort = false } = shape;
  const ofTables = nodes.filter(
    (node) => scans.test(node['Node Type']) && node['Relation Name'] !== 'processes',
  );
  // Of an empty partition any index will do.
  for (const node of ofTables.filter((one) => rowsOf([one]) > 0)) {
    const table = node['Relation Name'] ?? '';
    const [, index] = Object.entries(indexes).find(([name]) => isPartOf(name, table)) ?? [];
    assert.match(
      node['Index Name'] ?? node['Node Type'],
      index ?? /^no scan of it$/,
      `${what}: ${table}`,
    );
  }
  for (const table of Object.keys(indexes)) {
    assert.ok(
      ofTables.some((node) => isPartOf(table, node['Relation Name'] ?? '')),
      `${what}: ${table} is not read`,
    );
  }
  const sorted = nodes.filter(({ 'Node Type': type }) => type.includes('Sort'));
  assert.ok(maySort ? rowsOf(sorted) <= 5 : sorted.length === 0, `${what}: it sorts`);
  // Merging reads the first row of every partition.
  const partitions = 2 * (days + 10);
  const rows = rowsOf(ofTables);
  const most = (shape.examinedMax ?? examinedMax.newest) + partitions;
  assert.ok(rows <= most, `${what}: ${rows} rows were read, and ${most} may be`);
}

test('a range of creation is sought: what lies outside is not read, wherever it is', async () => {
  const fromMs = Date.now() - 5 * 86_400_000;
  const filter = parseTimerFilter({
    created_after: new Date(fromMs).toISOString(),
    created_before: new Date(fromMs + 3_600_000).toISOString(),
  });
  const statements = await asked(async (database) => {
    const pages = createTimerPages({ database, statusOf: ({ timer }) => timer.status });
    const query = { projectId: 1, filter, order: 'newest' as const, position: null, limit: 500 };
    const { entries, examined } = await pages.summaries(query);
    assert.equal(entries.length, 500);
    // Two minutes of slack, and where the search for ids ends.
    assert.ok(examined < 500 + 120_000 / everyMs + 1_024 + 50, `${examined} were looked at`);
  });
  const searches = statements.filter(([{ name }]) => name === 'list_bound_at_instant');
  assert.equal(searches.length, 2);
  for (const search of searches) {
    for (const mode of modes) {
      const nodes = await executed(search, mode);
      const ofTables = nodes.filter((node) => scans.test(node['Node Type']));
      for (const node of ofTables)
        assert.match(
          node['Index Name'] ?? node['Node Type'],
          /^timers_project_id$|_project_id_id_idx$/,
        );
      const rows = rowsOf(ofTables);
      // A row of every partition, a probe; 7 halvings of 120,000 until 1,024 are left.
      assert.ok(rows <= 9 * 2 * (days + 10), `${rows} rows were read`);
    }
  }
});

test('a page out of time goes out with what it has, and the next goes on behind it', async () => {
  let nowMs = 0;
  const hasty = createTimerPages({
    database: listDatabase,
    statusOf: ({ timer }) => timer.status,
    // The second look at the clock is the one after the first step, the third after the second.
    clock: { monotonicMs: () => (nowMs += 60) },
  });
  const filter = parseTimerFilter(nowhere);
  const query = { projectId: 1, filter, order: 'newest' as const, limit: 50 };
  const first = await hasty.summaries({ ...query, position: null });
  assert.deepEqual(first, {
    entries: [],
    examined: 2 * examinedMax.newest,
    next: { order: 'newest', beforeId: count - 2 * examinedMax.newest + 1, fromId: 0 },
  });
});

test('a body of a megabyte is measured, not read', async () => {
  const id = count + 1;
  await sql(
    db.database,
    `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url, body, labels)
     SELECT $1::bigint, 1, now() + interval '1 day', now(), now(), 'http://a/', string_agg(sha512(n::text::bytea), ''), NULL
     FROM generate_series(1, 16384) AS n`,
    [id],
  );
  const filter = parseTimerFilter({ status: 'live' });
  const position: ListPosition = { order: 'newest', beforeId: id + 1, fromId: id };
  const step = { projectId: 1, filter, position, rowsMax: 1 };
  const [statement] = await asked(async (database) => {
    const { entries } = await createTimerLister(database).summaries(step);
    assert.equal(entries[0]?.timer.bodyBytes, 1_048_576);
  });
  assert.ok(statement !== undefined);
  for (const mode of modes) {
    const [root] = await executed(statement, mode);
    assert.ok(root !== undefined);
    // The body alone fills some 130 blocks.
    const blocks = root['Shared Hit Blocks'] + root['Shared Read Blocks'];
    assert.ok(blocks > 0 && blocks < 20, `${blocks} blocks were read`);
  }
});
