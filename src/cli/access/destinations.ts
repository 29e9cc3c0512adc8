import { readFile } from 'node:fs/promises';
import {
  BelfryApiError,
  type Destination,
  type DestinationChanges,
  type DestinationRate,
  type DestinationTls,
} from '../../../packages/client/src/index.ts';
import { UsageError, type Command, type Given, type Option, type Terminal } from '../command.ts';
import { headersOf } from '../timers/newTimer.ts';
import { table } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { visible } from '../visible.ts';
import { localTime, spanOf } from '../when.ts';

const shared = [jsonOption, ...serviceOptions];
const one = { operands: '<pattern>', operandsMin: 1, operandsMax: 1 } as const;
const clearable = ['concurrency', 'rate', 'timeout', 'headers', 'tls'] as const;

const settingOptions: readonly Option[] = [
  { name: 'concurrency', takes: 'number', about: 'attempts under way at once' },
  {
    name: 'rate',
    takes: 'count/second|minute|hour',
    about: 'attempts in a time: 100/minute',
  },
  { name: 'timeout', takes: 'span', about: 'bound of an attempt, for timers that say none' },
  {
    name: 'header',
    takes: "'name: value'",
    isRepeatable: true,
    about: 'sent where the timer has none of that name; replaces all that were set',
  },
  {
    name: 'secret-header',
    takes: "'name: value'",
    isRepeatable: true,
    about: 'the same, kept encrypted and never shown, as authorization always is',
  },
  { name: 'tls-certificate', takes: 'file', about: 'client certificate and its chain, in PEM' },
  { name: 'tls-key', takes: 'file', about: 'its key, in PEM' },
  {
    name: 'tls-ca',
    takes: 'file',
    about: "authorities of the receiver's certificate in place of the public ones, in PEM",
  },
  {
    name: 'clear',
    takes: 'settings',
    values: clearable,
    isRepeatable: true,
    about: `takes settings away: ${clearable.join(', ')}, several with commas`,
  },
];

export const setDestination: Command = {
  path: ['destinations', 'set'],
  ...one,
  about:
    'Sets what holds for the hosts that timers call: of host, host:port, *.host (all names below it) or *. What is not given stays as it is. It holds within a second.',
  options: [...settingOptions, ...shared],
  examples: [
    'belfry destinations set api.example.com --concurrency 5 --rate 100/minute',
    "belfry destinations set '*.example.com' --timeout 10s --header 'x-from: belfry'",
    'belfry destinations set pay.example.com --tls-certificate cert.pem --tls-key key.pem',
    'belfry destinations set api.example.com --clear rate,timeout',
  ],
  async run(given, terminal) {
    const [pattern = ''] = given.operands;
    const changes = await changesOf(given);
    show(await setOrCreate(pattern, changes, terminal), terminal);
    return 0;
  },
};

export const listDestinations: Command = {
  path: ['destinations', 'list'],
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  about: 'Lists what is set for the hosts that timers call.',
  options: shared,
  examples: ['belfry destinations list'],
  async run(_given, terminal) {
    const { client, signal } = terminal;
    const destinations = await client.destinations.list({ signal });
    if (terminal.isJson) for (const each of destinations) terminal.json(each);
    else {
      const rows = destinations.map((each) => [
        visible(each.pattern),
        each.is_paused ? 'paused' : 'runs',
        text(each.concurrency),
        rateText(each),
        timeoutText(each),
        String(Object.keys(each.headers ?? {}).length),
        each.tls === null ? '-' : 'set',
      ]);
      const head = ['PATTERN', 'STATE', 'CONCURRENCY', 'RATE', 'TIMEOUT', 'HEADERS', 'TLS'];
      terminal.line(table([head, ...rows]));
    }
    return 0;
  },
};

export const showDestination = single('show', 'Shows what is set for a pattern.', 'get');
export const deleteDestination = single(
  'delete',
  'Takes all settings of a pattern away.',
  'delete',
);
export const pauseDestination = single(
  'pause',
  'Lets nothing start to these hosts: within a second, in every process.',
  'pause',
);
export const resumeDestination = single('resume', 'Lets it start again.', 'resume');

function single(
  word: string,
  about: string,
  method: 'get' | 'delete' | 'pause' | 'resume',
): Command {
  return {
    path: ['destinations', word],
    ...one,
    about,
    options: shared,
    examples: [`belfry destinations ${word} api.example.com`],
    async run({ operands: [pattern = ''] }, terminal) {
      const { client, signal } = terminal;
      show(await client.destinations[method](pattern, { signal }), terminal);
      return 0;
    },
  };
}

async function setOrCreate(
  pattern: string,
  changes: DestinationChanges,
  { client, signal }: Terminal,
): Promise<Destination> {
  const { destinations } = client;
  if (Object.keys(changes).length > 0) {
    try {
      return await destinations.update(pattern, changes, { signal });
    } catch (err) {
      if (!(err instanceof BelfryApiError) || err.code !== 'destination_not_found') throw err;
    }
  }
  return destinations.set(pattern, changes, { signal });
}

/** @throws UsageError */
async function changesOf(given: Given): Promise<DestinationChanges> {
  const concurrency = given.text('concurrency');
  const rate = given.text('rate');
  const timeout = given.text('timeout');
  const secretLines = given.texts('secret-header');
  const headers = headersOf([...given.texts('header'), ...secretLines]);
  const tls = await tlsOf(given);
  const cleared = given.texts('clear').flatMap((names) => names.split(','));
  const changes: DestinationChanges = {
    ...Object.fromEntries(cleared.map((name) => [name, null])),
    ...(concurrency === undefined ? {} : { concurrency: numberOf('concurrency', concurrency) }),
    ...(rate === undefined ? {} : { rate: rateOf(rate) }),
    ...(timeout === undefined ? {} : { timeout: spanOf('timeout', timeout) }),
    ...(Object.keys(headers).length > 0 ? { headers } : {}),
    ...(secretLines.length > 0 ? { secret_headers: Object.keys(headersOf(secretLines)) } : {}),
    ...(tls === undefined ? {} : { tls }),
  };
  if (Object.keys(changes).length === 0) {
    throw new UsageError('destinations set needs a setting, such as --concurrency 5');
  }
  return changes;
}

async function tlsOf(given: Given): Promise<DestinationTls | undefined> {
  const parts = ['certificate', 'key', 'ca'].flatMap((name) => {
    const file = given.text(`tls-${name}`);
    return file === undefined ? [] : [[name, file] as const];
  });
  if (parts.length === 0) return undefined;
  const texts = parts.map(async ([name, file]) => [name, await readFile(file, 'utf8')] as const);
  return Object.fromEntries(await Promise.all(texts));
}

function rateOf(text: string): DestinationRate {
  const [, count, per] = /^(\d{1,15})\/(second|minute|hour)$/.exec(text) ?? [];
  if (count === undefined || (per !== 'second' && per !== 'minute' && per !== 'hour')) {
    throw new UsageError(
      `--rate got "${text}"; it takes count/second, /minute or /hour: 100/minute`,
    );
  }
  return { count: Number(count), per };
}

function numberOf(name: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`--${name} got "${text}"; it takes a number`);
  return Number(text);
}

function show(destination: Destination, terminal: Terminal): void {
  if (terminal.isJson) {
    terminal.json(destination);
    return;
  }
  const { pattern, is_paused: isPaused, concurrency, headers, tls } = destination;
  const headerRows = Object.entries(headers ?? {}).map(([name, value]) => [
    'header',
    visible(`${name}: ${[value].flat().join(', ')}`),
  ]);
  const certificates = [
    ...(tls === null || tls.certificate === null
      ? []
      : [['certificate', tls.certificate] as const]),
    ...(tls?.ca ?? []).map((authority) => ['authority', authority] as const),
  ].map(([what, { subject, expires_at: expiresAt }]) => [
    what,
    visible(`${subject}, until ${localTime(expiresAt)}`),
  ]);
  terminal.line(
    table([
      ['SETTING', `OF ${visible(pattern)}`],
      ['state', isPaused ? 'paused' : 'runs'],
      ['concurrency', text(concurrency)],
      ['rate', rateText(destination)],
      ['timeout', timeoutText(destination)],
      ...headerRows,
      ...certificates,
    ]),
  );
}

function rateText({ rate }: Destination): string {
  return rate === null ? '-' : `${rate.count}/${rate.per}`;
}

function timeoutText({ timeout }: Destination): string {
  return timeout === null ? '-' : `${timeout} s`;
}

function text(value: number | null): string {
  return value === null ? '-' : String(value);
}
