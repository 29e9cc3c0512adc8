import { performance } from 'node:perf_hooks';
import { Agent, request } from 'undici';
import { cursorText, type ListOrder, type ListPosition } from '../../src/core/cursor.ts';
import { fingerprintOf, parseTimerFilter, type FilterFields } from '../../src/core/timerFilter.ts';
import type { Bench, Scenario } from '../harness/bench.ts';
import { median } from '../harness/summary.ts';
import { startBelfry, type Belfry } from '../belfry.ts';
import { HISTORY_DAYS, LABELS, seedListed } from '../listedTimers.ts';

const PAGE_ROWS = 50;
const PAGES = 40;
const DAY_MS = 86_400_000;

interface List {
  readonly name: string;
  readonly order?: ListOrder;
  readonly fields: FilterFields;
  /** The same as SQL, to find out where its middle and its end are. */
  readonly from: string;
}

const dayAgo = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString();
const everything =
  '(SELECT id, url, created_at FROM belfry.timers UNION ALL SELECT id, url, created_at FROM belfry.history)';

function lists(): readonly List[] {
  const [after, before] = [dayAgo(8), dayAgo(7)];
  const labelled = (label: string) =>
    `(SELECT timer_id AS id FROM belfry.timer_labels WHERE label = '${label}')`;
  return [
    { name: 'no filter', fields: {}, from: everything },
    { name: 'failed', fields: { status: 'failed' }, from: 'belfry.history_failed' },
    { name: 'label of a fifth', fields: { label: LABELS.broad }, from: labelled(LABELS.broad) },
    { name: 'label of a 10,000th', fields: { label: LABELS.rare }, from: labelled(LABELS.rare) },
    { name: 'soonest', order: 'soonest', fields: {}, from: 'belfry.timers' },
    {
      name: 'host of a 500th',
      fields: { host: 'h7.example.com' },
      from: `(SELECT * FROM ${everything} AS e WHERE url LIKE 'http://h7.example.com/%')`,
    },
    {
      name: 'created on one day',
      fields: { created_after: after, created_before: before },
      from: `(SELECT * FROM ${everything} AS e WHERE created_at >= '${after}' AND created_at < '${before}')`,
    },
  ];
}

export const listing: Scenario = {
  name: 'lists',
  title: `GET /timers, ${PAGE_ROWS} a page: the middle and the last page / the first page`,
  async run(bench) {
    await using belfry = await startBelfry();
    const size = bench.size(
      { finished: 5_000_000, live: 1_000_000 },
      { finished: 1_000_000, live: 200_000 },
    );
    await seedListed(belfry, size);
    bench.note(`${size.finished} finished over ${HISTORY_DAYS} days, ${size.live} live`);
    const agent = new Agent({ connections: 1 });
    for (const list of lists()) {
      const paths = await pathsOf(belfry, list);
      for (const _ of bench.runs) await measure(bench, { belfry, agent, list, paths });
    }
    await agent.close();
  },
};

type Place = 'first' | 'middle' | 'last';
type Paths = Readonly<Record<Place, string>>;

async function measure(
  bench: Bench,
  { belfry, agent, list, paths }: { belfry: Belfry; agent: Agent; list: List; paths: Paths },
): Promise<void> {
  const times: Record<Place, number[]> = { first: [], middle: [], last: [] };
  const places = ['first', 'middle', 'last'] as const;
  for (let page = 0; page < PAGES; page++) {
    for (const place of places) {
      const startMs = performance.now();
      const { statusCode, body } = await request(`http://127.0.0.1:${belfry.port}${paths[place]}`, {
        dispatcher: agent,
      });
      const text = await body.text();
      times[place].push(performance.now() - startMs);
      const rows = text.split('"time_left"').length - 1;
      // A page that looks for long goes out with less, and says where to go on.
      const isFull = rows === PAGE_ROWS || !text.endsWith('"next":null}');
      if (statusCode !== 200 || !isFull) {
        throw new Error(`${list.name}, ${place} page: ${statusCode}, ${rows} rows`);
      }
    }
  }
  const first = median(times.first);
  bench.record({ name: `${list.name}, first page`, unit: 'ms', ours: first });
  for (const place of ['middle', 'last'] as const) {
    bench.record({
      name: `${list.name}, ${place} page`,
      unit: 'ms',
      ours: median(times[place]),
      floor: first,
      bars: [{ of: 'ratio', atMost: 2 }],
    });
  }
}

/** A walk to the middle would take an hour: the cursors are made here, as the pages before would. */
async function pathsOf(belfry: Belfry, { order = 'newest', fields, from }: List): Promise<Paths> {
  const filter = parseTimerFilter(fields);
  const query = new URLSearchParams({
    order,
    limit: String(PAGE_ROWS),
    ...Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)])),
  }).toString();
  const sorting = order === 'newest' ? 'id DESC' : 'next_at, id';
  const count = Number((await belfry.query(`SELECT count(*) FROM ${from} AS l`)).rows[0]?.count);
  const after = async (rows: number) => {
    const { rows: found } = await belfry.query(
      `SELECT l.id::float8, ${order === 'newest' ? '0' : "date_part('epoch', next_at) * 1000"} AS ms
       FROM ${from} AS l ORDER BY ${sorting} OFFSET ${rows - 1} LIMIT 1`,
    );
    const [id, ms] = [Number(found[0]?.id), Number(found[0]?.ms)];
    const place: ListPosition =
      order === 'newest'
        ? { order, beforeId: id, fromId: 0 }
        : { order, nextAtMs: Math.round(ms), id };
    return `/timers?${query}&cursor=${cursorText(place, fingerprintOf(filter, [1, order]))}`;
  };
  return {
    first: `/timers?${query}`,
    middle: await after(count >> 1),
    last: await after(count - PAGE_ROWS),
  };
}
