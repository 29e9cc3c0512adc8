import type { Command } from '../command.ts';
import { table } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { visible } from '../visible.ts';
import { localTime } from '../when.ts';

const shared = [jsonOption, ...serviceOptions];

export const listBreakers: Command = {
  path: ['breakers', 'list'],
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  about:
    'Lists destinations that are left alone because they fail or ask for less. Their timers wait; one at a time is sent to see whether they answer again.',
  options: shared,
  examples: ['belfry breakers list'],
  async run(_given, terminal) {
    const breakers = await terminal.client.breakers.list({ signal: terminal.signal });
    if (terminal.isJson) for (const each of breakers) terminal.json(each);
    else {
      const rows = breakers.map((each) => [
        visible(each.destination),
        each.state,
        localTime(each.failing_since),
        each.next_probe_at === null ? 'never' : localTime(each.next_probe_at),
      ]);
      terminal.line(table([['DESTINATION', 'STATE', 'SINCE', 'NEXT PROBE'], ...rows]));
    }
    return 0;
  },
};

export const resetBreaker: Command = {
  path: ['breakers', 'reset'],
  operands: '<destination>',
  operandsMin: 1,
  operandsMax: 1,
  about:
    'Sends to a destination again at once, also when it has been disabled for failing too long.',
  options: shared,
  examples: ['belfry breakers reset https://api.example.com'],
  async run({ operands: [destination = ''] }, terminal) {
    const { signal } = terminal;
    const reset = await terminal.client.breakers.reset(destination, { signal });
    if (terminal.isJson) terminal.json(reset);
    else terminal.line(`${visible(reset.destination)} is sent to again.`);
    return 0;
  },
};
