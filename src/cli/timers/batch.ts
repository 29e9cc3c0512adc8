import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { NewTimer } from '../../../packages/client/src/index.ts';
import type { Command, Terminal } from '../command.ts';
import { progressBar } from '../table.ts';
import { jsonOption, serviceOptions } from '../terminal.ts';
import { visible } from '../visible.ts';

/** How much of a file has been read, where it has a size. */
interface Source {
  readonly stream: NodeJS.ReadableStream;
  readonly bytes: number | undefined;
}

export const batch: Command = {
  path: ['timers', 'batch'],
  operands: '<file|->',
  operandsMin: 1,
  operandsMax: 1,
  about:
    'Creates a timer for each line of JSON of a file, or of the standard input. Prints those that failed; as JSON, the others too.',
  options: [
    {
      name: 'idempotency-key',
      takes: 'key',
      about: 'the same lines sent again under it make no second timers',
    },
    jsonOption,
    ...serviceOptions,
  ],
  examples: [
    'belfry timers batch timers.ndjson',
    `printf '{"url":"http://127.0.0.1:7000/a","seconds":1}\\n' | belfry timers batch -`,
  ],
  async run(given, terminal) {
    const source = await openSource(given.operands[0] ?? '-');
    const idempotencyKey = given.text('idempotency-key') ?? randomUUID();
    const lines = readTimers(source, terminal);
    let created = 0;
    const results = terminal.client.timers.batchStream(lines.timers(), {
      signal: terminal.signal,
      idempotencyKey,
    });
    try {
      for await (const result of results) {
        const line = lines.lineOf(result.index);
        if ('timer' in result) {
          created += 1;
          if (terminal.isJson) terminal.json({ line, ...result });
        } else lines.fail(line, result.error);
      }
    } catch (err) {
      terminal.progress('');
      // Without the key, who starts over would make those timers a second time.
      terminal.note(
        `${created} created until then, maybe more. To go on, send the same lines again with --idempotency-key ${idempotencyKey}`,
      );
      throw err;
    }
    terminal.progress('');
    const failed = lines.failed();
    if (!terminal.isJson) terminal.line(`${created} created, ${failed} failed.`);
    return failed > 0 ? 1 : 0;
  },
};

function readTimers({ stream, bytes }: Source, terminal: Terminal) {
  const lineNumbers: number[] = [];
  let failed = 0;

  function fail(line: number, error: { readonly code: string; readonly detail: string }): void {
    failed += 1;
    if (terminal.isJson) terminal.json({ line, error });
    else
      terminal.line(`line ${line}: ${terminal.paint('red', error.code)}: ${visible(error.detail)}`);
  }

  async function* timers(): AsyncGenerator<NewTimer> {
    let line = 0;
    let read = 0;
    for await (const text of createInterface({ input: stream, crlfDelay: Infinity })) {
      line += 1;
      read += Buffer.byteLength(text) + 1;
      if (line % 1_000 === 0 && bytes !== undefined) {
        terminal.progress(progressBar(Math.min(read, bytes), bytes, 'bytes'));
      } else if (line % 1_000 === 0) terminal.progress(`${line} lines`);
      if (text.trim() === '') continue;
      let timer: NewTimer;
      try {
        timer = JSON.parse(text);
      } catch (err) {
        const detail = err instanceof Error ? err.message : String(err);
        fail(line, { code: 'invalid_json', detail });
        continue;
      }
      lineNumbers.push(line);
      yield timer;
    }
  }

  return { timers, fail, failed: () => failed, lineOf: (index: number) => lineNumbers[index] ?? 0 };
}

async function openSource(path: string): Promise<Source> {
  if (path === '-') return { stream: process.stdin, bytes: undefined };
  const file = await open(path);
  const { size } = await file.stat();
  return { stream: file.createReadStream(), bytes: size };
}
