import { UsageError, type Command } from '../command.ts';
import { table } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { visibleLines } from '../visible.ts';
import { shownInstant, whenOf, whenOptions } from '../when.ts';
import { filterOf, filterOptions, idOf } from './filter.ts';
import { newTimerOf, newTimerOptions } from './newTimer.ts';
import { attemptTable, listRow, showExplanation, showTimer } from './show.ts';

const one = { operands: '<id>', operandsMin: 1, operandsMax: 1 } as const;
const shared = [jsonOption, ...serviceOptions];

export const create: Command = {
  path: ['timers', 'create'],
  operands: '<url>',
  operandsMin: 1,
  operandsMax: 1,
  about: 'Creates a timer: the URL is called now, or when --in or --at says.',
  options: [
    ...newTimerOptions,
    { name: 'key', takes: 'key', about: 'creates or replaces the live timer of that name' },
    { name: 'idempotency-key', takes: 'key', about: 'sent again under it, makes no second timer' },
    ...shared,
  ],
  examples: [
    'belfry timers create http://127.0.0.1:7000/hello --in 5s',
    `belfry timers create https://shop.example/remind --at 2030-01-31T12:00:00Z --json-body '{"cart": 42}'`,
    "belfry timers create https://shop.example/trial --in 14d --key trial-42 --header 'x-plan: pro'",
  ],
  async run(given, terminal) {
    const timer = await newTimerOf(given.operands[0] ?? '', given);
    const key = given.text('key');
    const idempotencyKey = given.text('idempotency-key');
    const { timers } = terminal.client;
    if (key !== undefined) {
      if (idempotencyKey !== undefined) {
        throw new UsageError('--key and --idempotency-key cannot be combined');
      }
      const put = await timers.byKey.put(key, timer);
      if (!terminal.isJson) terminal.line(put.created ? 'Created.' : 'Replaced.');
      showTimer(put.timer, terminal);
      return 0;
    }
    const created = await timers.create(
      timer,
      idempotencyKey === undefined ? {} : { idempotencyKey },
    );
    if (terminal.isJson) terminal.json(created);
    else {
      terminal.line(`Timer ${created.id}, due ${shownInstant(created.due_at, Date.now())}`);
    }
    return 0;
  },
};

export const get: Command = {
  path: ['timers', 'get'],
  ...one,
  about: 'Shows a timer, live or finished, with its attempts.',
  options: shared,
  examples: ['belfry timers get 17', 'belfry timers get 17 --json'],
  async run({ operands: [id] }, terminal) {
    showTimer(await terminal.client.timers.get(idOf(id)), terminal);
    return 0;
  },
};

export const attempts: Command = {
  path: ['timers', 'attempts'],
  ...one,
  about: 'Shows the attempts of a timer with what was answered.',
  options: shared,
  examples: ['belfry timers attempts 17'],
  async run({ operands: [id] }, terminal) {
    const made = await terminal.client.timers.attempts(idOf(id));
    if (terminal.isJson) {
      for (const attempt of made) terminal.json(attempt);
      return 0;
    }
    terminal.line(made.length === 0 ? 'None yet.' : attemptTable(made, terminal.paint));
    for (const { number, response_body: body } of made) {
      if (body !== undefined) {
        terminal.line(`\nanswer to attempt ${number}:\n${visibleLines(body)}`);
      }
    }
    return 0;
  },
};

export const why: Command = {
  path: ['timers', 'why'],
  ...one,
  about: 'Says why a timer has not fired, and when it is expected to.',
  options: shared,
  examples: ['belfry timers why 17'],
  async run({ operands: [id] }, terminal) {
    showExplanation(await terminal.client.timers.why(idOf(id)), terminal);
    return 0;
  },
};

export const move: Command = {
  path: ['timers', 'move'],
  ...one,
  about: 'Makes a timer due at another time.',
  options: [
    ...whenOptions,
    { name: 'if-match', takes: 'version', about: 'only if the timer is still at this version' },
    ...shared,
  ],
  examples: ['belfry timers move 17 --in 10m', 'belfry timers move 17 --at 2030-01-31T12:00:00Z'],
  async run(given, terminal) {
    const when = whenOf(given);
    if (when === undefined) throw new UsageError('timers move needs --in or --at');
    const version = given.text('if-match');
    const options = version === undefined ? {} : { ifMatch: idOf(version) };
    const id = idOf(given.operands[0]);
    showTimer(await terminal.client.timers.update(id, when, options), terminal);
    return 0;
  },
};

export const fire: Command = {
  path: ['timers', 'fire'],
  ...one,
  about: 'Makes a timer due now.',
  options: shared,
  examples: ['belfry timers fire 17'],
  async run({ operands: [id] }, terminal) {
    showTimer(await terminal.client.timers.fire(idOf(id)), terminal);
    return 0;
  },
};

export const list: Command = {
  path: ['timers', 'list'],
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  about: 'Lists timers, the newest first.',
  options: [
    ...filterOptions,
    { name: 'order', takes: 'order', values: ['newest', 'soonest'], about: 'newest unless given' },
    { name: 'limit', takes: 'number', about: 'so many at the most; 50 unless given' },
    { name: 'all', about: 'without a limit' },
    ...shared,
  ],
  examples: [
    'belfry timers list --status failed --label cart-42',
    'belfry timers list --status live --order soonest --limit 10',
  ],
  async run(given, terminal) {
    const limitText = given.text('limit') ?? '50';
    if (!/^[1-9]\d{0,8}$/.test(limitText)) {
      throw new UsageError(`--limit got "${limitText}"; it takes a whole number from 1`);
    }
    const limit = given.has('all') ? Infinity : Number(limitText);
    const order = given.text('order') === 'soonest' ? 'soonest' : 'newest';
    const filter = { ...filterOf(given), order, limit: Math.min(limit, 500) } as const;
    const nowMs = Date.now();
    const names = ['id', 'status', 'next or finished', 'attempts', 'calls', 'labels'];
    const rows = [names.map((name) => terminal.paint('dim', name))];
    let shown = 0;
    for await (const timer of terminal.client.timers.list(filter, { signal: terminal.signal })) {
      if (terminal.isJson) terminal.json(timer);
      else rows.push(listRow(timer, terminal.paint, nowMs));
      shown += 1;
      if (shown >= limit) break;
    }
    if (!terminal.isJson) terminal.line(shown === 0 ? 'No timers.' : table(rows));
    return 0;
  },
};
