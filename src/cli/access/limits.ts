import type { Limits, LimitsPatch, Rate, RateWish } from '../../../packages/client/src/index.ts';
import { UsageError, type Command, type Given, type Option, type Terminal } from '../command.ts';
import { table } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { spanOf } from '../when.ts';
import { projectOf, projectOption } from './projects.ts';

const shared = [jsonOption, ...serviceOptions];

const counts = [
  { name: 'live-timers', field: 'live_timers', about: 'timers that wait or are being tried' },
  { name: 'creates-per-day', field: 'creates_per_day', about: 'timers created in a day (UTC)' },
  { name: 'body-bytes', field: 'body_bytes', about: 'bytes of the body of a timer' },
  { name: 'attempts', field: 'attempts', about: 'attempts that a timer may ask for' },
] as const;
const names = ['rate', ...counts.map(({ name }) => name), 'horizon'];

/** Of `tokens create` and `limits set`. */
export const rateOption: Option = {
  name: 'rate',
  takes: 'requests[/span[,burst]]',
  about: 'so many requests in a span (a second), as a burst at once: 600/1m,50',
};

/** @throws UsageError */
export function rateOf(text: string): RateWish {
  const [, requests, per, burst] = /^(\d+)(?:\/([^,]+))?(?:,(\d+))?$/.exec(text) ?? [];
  if (requests === undefined) {
    throw new UsageError(
      `--rate got "${text}"; it takes requests[/span[,burst]], such as 600/1m,50`,
    );
  }
  return {
    requests: Number(requests),
    ...(per === undefined ? {} : { per: spanOf('rate', per) }),
    ...(burst === undefined ? {} : { burst: Number(burst) }),
  };
}

/** The project that is meant; by default that of the token. */
async function meant(given: Given, { client, signal }: Terminal): Promise<number> {
  return projectOf(given).project ?? (await client.whoami({ signal })).project;
}

export const showLimits: Command = {
  path: ['limits', 'show'],
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  about: 'Shows what a project may do at most.',
  options: [projectOption, ...shared],
  examples: ['belfry limits show', 'belfry limits show --project 2'],
  async run(given, terminal) {
    const { client, signal } = terminal;
    show(await client.limits.get(await meant(given, terminal), { signal }), terminal);
    return 0;
  },
};

export const setLimits: Command = {
  path: ['limits', 'set'],
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  about: 'Bounds what a project may do: for operators. It holds within a second.',
  options: [
    rateOption,
    ...counts.map(({ name, about }) => ({ name, takes: 'number', about })),
    { name: 'horizon', takes: 'span', about: 'how far ahead a timer may be due' },
    projectOption,
    ...shared,
  ],
  examples: [
    'belfry limits set --project 2 --rate 600/1m,50 --live-timers 10000',
    'belfry limits set --project 2 --horizon 90d --attempts 10',
  ],
  async run(given, terminal) {
    const patch = patchOf(given);
    if (Object.keys(patch).length === 0) throw new UsageError('limits set needs a limit');
    await change(patch, given, terminal);
    return 0;
  },
};

export const unsetLimits: Command = {
  path: ['limits', 'unset'],
  operands: '<limit…>',
  operandsMin: 1,
  operandsMax: names.length,
  operandValues: names,
  about: 'Takes limits of a project away: for operators.',
  options: [projectOption, ...shared],
  examples: ['belfry limits unset rate live-timers --project 2'],
  async run(given, terminal) {
    const fields = given.operands.map((name) => [name.replaceAll('-', '_'), null] as const);
    await change(Object.fromEntries(fields), given, terminal);
    return 0;
  },
};

export const showUsage: Command = {
  path: ['usage'],
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  about: 'Shows what your project uses, beside what it may.',
  options: shared,
  examples: ['belfry usage'],
  async run(_given, terminal) {
    const usage = await terminal.client.usage({ signal: terminal.signal });
    if (terminal.isJson) {
      terminal.json(usage);
      return 0;
    }
    const { requests, token_requests: own, live_timers: live, creates_per_day: creates } = usage;
    terminal.line(
      table([
        ['WHAT', 'USED', 'LIMIT'],
        ['live timers', text(live.used), text(live.limit)],
        ['created today', text(creates.used), text(creates.limit)],
        ['requests left', text(requests.remaining), rateText(requests.limit)],
        ['requests left, of the token', text(own.remaining), rateText(own.limit)],
        ['body, bytes', '', text(usage.body_bytes)],
        ['horizon, s', '', text(usage.horizon)],
        ['attempts', '', text(usage.attempts)],
      ]),
    );
    return 0;
  },
};

async function change(patch: LimitsPatch, given: Given, terminal: Terminal): Promise<void> {
  const { client, signal } = terminal;
  show(await client.limits.set(await meant(given, terminal), patch, { signal }), terminal);
}

function patchOf(given: Given): LimitsPatch {
  const rate = given.text('rate');
  const horizon = given.text('horizon');
  const numbers = counts.flatMap(({ name, field }) => {
    const value = given.text(name);
    if (value === undefined) return [];
    if (!/^\d{1,15}$/.test(value)) {
      throw new UsageError(`--${name} got "${value}"; it takes a number`);
    }
    return [[field, Number(value)] as const];
  });
  return {
    ...(rate === undefined ? {} : { rate: rateOf(rate) }),
    ...Object.fromEntries(numbers),
    ...(horizon === undefined ? {} : { horizon: spanOf('horizon', horizon) }),
  };
}

function show(limits: Limits, terminal: Terminal): void {
  if (terminal.isJson) {
    terminal.json(limits);
    return;
  }
  terminal.line(
    table([
      ['LIMIT', `OF PROJECT ${limits.project}`],
      ['rate', rateText(limits.rate)],
      ...counts.map(({ name, field }) => [name, text(limits[field])]),
      ['horizon', limits.horizon === null ? '-' : `${limits.horizon} s`],
    ]),
  );
}

function rateText(rate: Rate | null): string {
  return rate === null ? '-' : `${rate.requests}/${rate.per}s, ${rate.burst} at once`;
}

function text(value: number | null): string {
  return value === null ? '-' : String(value);
}
