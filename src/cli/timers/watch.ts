import { setTimeout as sleep } from 'node:timers/promises';
import type { Timer } from '../../../packages/client/src/index.ts';
import type { Command } from '../command.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { shownInstant } from '../when.ts';
import { idOf } from './filter.ts';
import { attemptRow, shownStatus } from './show.ts';

/** How often it is looked at while something may happen, and how rarely while it only waits. */
const nearMs = 250;
const farMs = 10_000;

export const watch: Command = {
  path: ['timers', 'watch'],
  operands: '<id>',
  operandsMin: 1,
  operandsMax: 1,
  about: 'Follows a timer until it is finished, with each attempt. Exits 0 if it succeeded.',
  options: [jsonOption, ...serviceOptions],
  examples: ['belfry timers watch 17'],
  async run({ operands: [given] }, terminal) {
    const { client, signal, paint } = terminal;
    const id = idOf(given);
    let seen = 0;
    for (;;) {
      const timer = await client.timers.get(id, { signal });
      for (const attempt of timer.attempts.slice(seen)) {
        if (terminal.isJson) terminal.json(attempt);
        else {
          terminal.progress('');
          terminal.line(attemptRow(attempt, paint).join('  '));
        }
      }
      seen = timer.attempts.length;
      if (timer.finished_at !== null) {
        terminal.progress('');
        if (terminal.isJson) terminal.json({ id, status: timer.status, ...failureOf(timer) });
        else terminal.line(`Timer ${id} ${shownStatus(timer.status, paint)}.`);
        return timer.status === 'succeeded' ? 0 : 1;
      }
      const next = shownInstant(timer.next_attempt_at, Date.now());
      terminal.progress(`${timer.status}, next attempt ${next}`);
      // It may be moved to an earlier time meanwhile.
      const leftMs = Date.parse(timer.next_attempt_at ?? '') - Date.now();
      const waitMs = leftMs > 2 * nearMs ? Math.min(farMs, leftMs / 2) : nearMs;
      await sleep(waitMs, undefined, { signal });
    }
  },
};

function failureOf({ failure_code: code }: Timer): { failure_code?: string } {
  return code === null ? {} : { failure_code: code };
}
