import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { ListOrder } from '../../src/core/cursor.ts';
import { matchesHost, parseHostFilter } from '../../src/core/hostFilter.ts';
import type { TimerSummary } from '../../src/core/timer.ts';
import {
  finishedStatuses,
  liveStatuses,
  parseTimerFilter,
  type FilterFields,
  type TimerFilter,
} from '../../src/core/timerFilter.ts';
import { createTimerPages } from '../../src/store/listPages.ts';
import { createTimerCreator } from '../../src/store/createTimers.ts';
import { createTimerReader } from '../../src/store/readTimers.ts';
import { createTestDatabase, sql } from '../support/database.ts';
import { addPastPartitions, openListDatabase, seedTimers } from '../support/listedTimers.ts';
import { newTimer } from '../support/storedTimers.ts';

const db = await createTestDatabase({ preparedToday: true });
const listDatabase = openListDatabase(db.url);
const pages = createTimerPages({ database: listDatabase, statusOf: ({ timer }) => timer.status });
after(async () => {
  await listDatabase.close();
  await db[Symbol.asyncDispose]();
});

const count = 3_000;
/** Five days of timers. */
const everyMs = 144_000;
let all: readonly TimerSummary[] = [];

async function listAll(
  filter: TimerFilter,
  { order = 'newest', limit = 500 }: { order?: ListOrder; limit?: number } = {},
): Promise<TimerSummary[]> {
  const found: TimerSummary[] = [];
  let position = null;
  do {
    const page = await pages.summaries({ projectId: 1, filter, order, position, limit });
    assert.ok(page.entries.length <= limit);
    found.push(...page.entries);
    position = page.next;
  } while (position !== null);
  return found;
}

before(async () => {
  await addPastPartitions(db.database, 6);
  await seedTimers(db.database, { count, everyMs });
  // Among them some of another project, one that is retrying, and one whose label row is left over.
  await sql(db.database, 'UPDATE belfry.history SET project_id = 2 WHERE id % 100 = 7');
  await sql(db.database, 'UPDATE belfry.timers SET project_id = 2 WHERE id % 100 = 6');
  await sql(db.database, 'UPDATE belfry.timers SET attempts = 2 WHERE id % 100 = 12');
  await sql(db.database, `INSERT INTO belfry.timer_labels VALUES (1, 'broad', 999999)`);
  await sql(
    db.database,
    `DELETE FROM belfry.timer_labels l WHERE NOT EXISTS (
       SELECT FROM belfry.timers t WHERE t.id = l.timer_id AND t.project_id = 1
       UNION ALL SELECT FROM belfry.history t WHERE t.id = l.timer_id AND t.project_id = 1)
     AND timer_id < 999999`,
  );
  all = await listAll(parseTimerFilter({}));
});

test('the newest come first, live and finished together, each once, and none of another project', () => {
  const others = Array.from({ length: count }, (_, index) => index + 1).filter((id) =>
    id % 6 === 0 ? id % 100 === 6 : id % 100 === 7,
  );
  const expected = new Set(Array.from({ length: count }, (_, index) => count - index));
  for (const id of others) expected.delete(id);
  assert.deepEqual(
    all.map(({ id }) => Number(id)),
    [...expected],
  );
});

/** What a list is to hold, told from all timers and without SQL. */
function expectedOf(filter: TimerFilter, order: ListOrder): number[] {
  const matching = all.filter(
    (timer) =>
      (filter.statuses?.includes(timer.status) ?? true) &&
      (order === 'newest' || timer.nextAtMs !== null) &&
      (filter.label === null || timer.labels?.includes(filter.label) === true) &&
      (filter.host === null || matchesHost(timer.request.url, filter.host)) &&
      (filter.key === null || timer.key === filter.key) &&
      (filter.urlPrefix === null || timer.request.url.startsWith(filter.urlPrefix)) &&
      timer.dueAtMs >= (filter.dueAfterMs ?? 0) &&
      timer.dueAtMs < (filter.dueBeforeMs ?? Infinity) &&
      timer.createdAtMs >= (filter.createdAfterMs ?? 0) &&
      timer.createdAtMs < (filter.createdBeforeMs ?? Infinity),
  );
  const key = (timer: TimerSummary) =>
    order === 'newest' ? -Number(timer.id) : (timer.nextAtMs ?? 0);
  return matching.toSorted((a, b) => key(a) - key(b) || a.id - b.id).map(({ id }) => id);
}

const instant = fc.oneof(
  // Of one of the timers, where off by one shows, or any other around them.
  fc.nat(count - 1).map((index) => all[index % all.length]?.createdAtMs ?? 0),
  fc.nat(count - 1).map((index) => all[index % all.length]?.dueAtMs ?? 0),
  fc.integer({ min: -count, max: 100 }).map((steps) => Date.now() + steps * everyMs),
);
const text = instant.map((ms) => new Date(ms).toISOString());
const some = <Value>(value: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
const fields: fc.Arbitrary<FilterFields> = fc.record({
  status: some(fc.subarray([...liveStatuses, ...finishedStatuses], { minLength: 1 })),
  label: some(fc.constantFrom('broad', 'rare', 'none')),
  host: some(
    fc.constantFrom('h7.example.com', 'H8.example.com:80', 'example.com', 'h7.example.com:443'),
  ),
  key: some(fc.constantFrom('k3', 'k13', 'k6', 'none')),
  url_prefix: some(fc.constantFrom('http://h1', 'http://h7.example.com/', 'https://')),
  due_after: some(text),
  due_before: some(text),
  created_after: some(text),
  created_before: some(text),
});

test('the pages of any filter hold exactly the timers that it means, each once, in order', async () => {
  let found = 0;
  await fc.assert(
    fc.asyncProperty(
      fields,
      fc.constantFrom('newest' as const, 'soonest' as const),
      fc.constantFrom(1, 7, 50, 500),
      async (given, order, limit) => {
        const filter = parseTimerFilter(given);
        const expected = expectedOf(filter, order);
        if (limit < 50 && expected.length > 300) return;
        const listed = await listAll(filter, { order, limit });
        assert.deepEqual(
          listed.map(({ id }) => Number(id)),
          expected,
        );
        found += expected.length;
      },
    ),
    { numRuns: 250 },
  );
  assert.ok(found > 2_000, `only ${found} were found: the generator misses the point`);
});

test('SQL and core agree on the host of any url', async () => {
  const hosts = fc.oneof(
    fc.domain(),
    fc.constantFrom('a', '[::1]', '127.0.0.1', 'ü.de'),
    fc.ipV4(),
  );
  const urls = fc
    .tuple(
      fc.constantFrom('http', 'https', 'HTTP'),
      hosts,
      fc.constantFrom('', ':80', ':443', ':8080', ':'),
      fc.constantFrom('', '/', '?a=/b', '#x/y', '/http://a/b'),
    )
    .map(([scheme, host, port, rest]) => `${scheme}://${host}${port}${rest}`);
  const cases = fc.sample(
    fc.tuple(urls, hosts, fc.constantFrom('', ':80', ':443', ':8080')),
    2_000,
  );
  await sql(db.database, 'DELETE FROM belfry.timers WHERE project_id = 3');
  await sql(
    db.database,
    `INSERT INTO belfry.timers (id, project_id, next_at, due_at, created_at, url)
     SELECT 100000 + n, 3, now() + interval '1 day', now(), now(), url
     FROM unnest($1::text[]) WITH ORDINALITY AS u(url, n)`,
    [cases.map(([url]) => url)],
  );
  const filters = new Set(
    cases
      .slice(0, 60)
      .map(([url, , port], index) =>
        index % 2 === 0 ? `${new URL(url).hostname}${port}` : `${cases[index]?.[1] ?? ''}${port}`,
      ),
  );
  let found = 0;
  for (const host of [...filters].filter((name) => !name.includes('%'))) {
    const filter = { ...parseTimerFilter({}), host: parseHostFilter('host', host) };
    const page = await pages.summaries({
      projectId: 3,
      filter,
      order: 'newest',
      position: null,
      limit: 5_000,
    });
    const expected = cases.flatMap(([url], index) =>
      matchesHost(url, filter.host) ? [100_001 + index] : [],
    );
    assert.deepEqual(
      page.entries.map(({ id }) => Number(id)),
      expected.toReversed(),
      host,
    );
    found += expected.length;
  }
  assert.ok(found > 100);
  await sql(db.database, 'DELETE FROM belfry.timers WHERE project_id = 3');
});

test('a timer that finishes between two pages is neither listed twice nor missed', async () => {
  const filter = parseTimerFilter({});
  const query = { projectId: 1, filter, order: 'newest' as const, limit: 10 };
  const first = await pages.summaries({ ...query, position: null });
  const later = all.find(({ id, nextAtMs }) => nextAtMs !== null && id < count - 20);
  assert.ok(later !== undefined);
  await sql(
    db.database,
    `WITH gone AS (DELETE FROM belfry.timers WHERE id = $1 RETURNING *)
     INSERT INTO belfry.history (id, project_id, finished_at, due_at, created_at, attempts, append_id,
       status, url, method, labels)
     SELECT id, project_id, now(), due_at, created_at, 1, true, 'succeeded', url, method, labels
     FROM gone`,
    [later.id],
  );
  const rest: TimerSummary[] = [];
  for (let position = first.next; position !== null;) {
    const page = await pages.summaries({ ...query, position, limit: 500 });
    rest.push(...page.entries);
    position = page.next;
  }
  assert.deepEqual(
    [...first.entries, ...rest].map(({ id }) => id),
    all.map(({ id }) => id),
  );
  assert.equal(rest.find(({ id }) => id === later.id)?.status, 'succeeded');
});

test('labels become rows with the timers that bear them, once each, and with no others', async () => {
  const creator = createTimerCreator({ database: db.database });
  const key = (text: string) => ({ key: text, fingerprint: Buffer.alloc(32) });
  const far = { delayMs: 1e9 };
  const created = await Promise.all([
    creator.add(newTimer({ ...far, labels: ['x', 'y'] })),
    creator.add(newTimer(far)),
    creator.add(newTimer({ ...far, labels: ['y'], idempotencyKey: key('one') })),
  ]);
  const again = await creator.add(newTimer({ ...far, labels: ['y'], idempotencyKey: key('one') }));
  assert.ok(again.isReplay);
  const rows = await sql<[string, number]>(
    db.database,
    `SELECT label, timer_id FROM belfry.timer_labels WHERE label IN ('x', 'y') ORDER BY 1, 2`,
  );
  const [both, , one] = created;
  assert.deepEqual(rows, [
    ['x', both.id],
    ['y', both.id],
    ['y', one.id],
  ]);
  const listed = await listAll(parseTimerFilter({ label: 'y' }));
  assert.deepEqual(
    listed.map(({ id }) => id),
    [one.id, both.id],
  );
});

test('an instant of finish is shown as GET /timers/{id} shows it, where PostgreSQL has a fraction', async () => {
  const finished = all.find(({ status }) => status === 'succeeded');
  assert.ok(finished);
  await sql(
    db.database,
    `UPDATE belfry.history SET finished_at = date_trunc('second', finished_at)
       + interval '247600 microseconds' WHERE id = $1`,
    [finished.id],
  );
  const read = await createTimerReader(db.database).read(1, finished.id);
  const listed = (await listAll(parseTimerFilter({}))).find(({ id }) => id === finished.id);
  const text = (ms: number | null | undefined) => new Date(ms ?? 0).toISOString();
  assert.match(text(read?.timer.finishedAtMs), /\.247Z$/);
  assert.equal(text(listed?.finishedAtMs), text(read?.timer.finishedAtMs));
});
