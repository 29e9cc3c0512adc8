import type { ListFilter, TimerFilter } from './requests.ts';
import type { ListedTimer, TimerPage } from './responses.ts';

/** Timers page by page, fetched as they are asked for; each iteration starts anew. */
export interface TimerList extends AsyncIterable<ListedTimer> {
  /** The pages as the service cuts them: one may be short, even empty, and not be the last. */
  pages(): AsyncIterable<TimerPage>;
}

export function createList(
  filter: ListFilter,
  read: (query: string) => Promise<TimerPage>,
): TimerList {
  async function* pages(): AsyncGenerator<TimerPage> {
    let cursor = filter.cursor ?? null;
    do {
      const page = await read(queryOf(cursor === null ? filter : { ...filter, cursor }));
      cursor = page.next;
      yield page;
    } while (cursor !== null);
  }

  return {
    pages,
    async *[Symbol.asyncIterator]() {
      for await (const { timers } of pages()) yield* timers;
    },
  };
}

/** The filter as the body of a bulk call has it: instants as text. */
export function filterBody(filter: TimerFilter): Record<string, unknown> {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}

function queryOf(filter: ListFilter): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) {
    if (value === undefined) continue;
    query.set(name, value instanceof Date ? value.toISOString() : String(value));
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}
