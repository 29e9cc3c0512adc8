import type { StatusFilter, TimerFilter } from '../../../packages/client/src/index.ts';
import { UsageError, type Given, type Option } from '../command.ts';

const statuses = [
  'pending',
  'delivering',
  'retrying',
  'succeeded',
  'failed',
  'cancelled',
  'live',
  'finished',
] as const satisfies readonly StatusFilter[];

export const filterOptions: readonly Option[] = [
  { name: 'status', takes: 'status', isRepeatable: true, values: statuses, about: 'any of these' },
  { name: 'label', takes: 'label', about: 'with this label' },
  { name: 'host', takes: 'host[:port]', about: 'that call this host' },
  { name: 'key', takes: 'key', about: 'under this key' },
  { name: 'url-prefix', takes: 'url', about: 'whose URL begins so' },
  { name: 'due-after', takes: 'instant', about: 'due then or later' },
  { name: 'due-before', takes: 'instant', about: 'due earlier' },
  { name: 'created-after', takes: 'instant', about: 'created then or later' },
  { name: 'created-before', takes: 'instant', about: 'created earlier' },
];

/** The filter that options describe; empty for none. */
export function filterOf(given: Given): TimerFilter {
  const texts = filterOptions
    .filter(({ name }) => name !== 'status')
    .map(({ name }) => [name.replace('-', '_'), given.text(name)])
    .filter(([, value]) => value !== undefined);
  const wanted = new Set(given.texts('status').flatMap((text) => text.split(',')));
  const status = statuses.filter((known) => wanted.has(known));
  return { ...Object.fromEntries(texts), ...(status.length > 0 ? { status } : {}) };
}

/** The id of a timer. */
export function idOf(text: string | undefined): number {
  const id = /^\d{1,16}$/.test(text ?? '') ? Number(text) : NaN;
  if (!Number.isSafeInteger(id)) throw new UsageError(`"${text}" is not the id of a timer`);
  return id;
}
