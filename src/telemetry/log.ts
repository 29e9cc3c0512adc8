import pino, { type Logger } from 'pino';
import { instantText } from '../core/instant.ts';

export type { Logger } from 'pino';

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The service's log: JSON lines on standard output, or with `pretty` lines for people. */
export async function createLog(options: { level: LogLevel; pretty: boolean }): Promise<Logger> {
  const { level, pretty } = options;
  if (pretty) {
    // Only `dev` needs it; production does not load it.
    const { default: prettyStream } = await import('pino-pretty');
    return pino(
      { level, base: null },
      prettyStream({
        ignore: 'pid,hostname',
        translateTime: 'SYS:HH:MM:ss.l',
        singleLine: true,
        sync: true,
      }),
    );
  }
  return pino(
    { level, base: null, timestamp: isoTime },
    gathered(pino.destination({ sync: false })),
  );
}

const gatherLength = 65_536;
const gatherMs = 250;

/**
 * Lines gather into one write of some 64 KB, or for a quarter of a second, which is what a kill -9
 * loses of the log. Not by the destination's own `minLength`: it measures all that waits anew for
 * every line (draining 60,000 timers: 48 µs of CPU a timer, 38 with the lines gathered here).
 */
function gathered(destination: ReturnType<typeof pino.destination>): pino.DestinationStream & {
  flush(done?: (err?: Error) => void): void;
  flushSync(): void;
} {
  let lines = '';
  let timer: NodeJS.Timeout | undefined;
  function passOn(): void {
    clearTimeout(timer);
    timer = undefined;
    if (lines === '') return;
    const text = lines;
    lines = '';
    destination.write(text);
  }
  // Ahead of the destination's own last flush.
  process.prependListener('exit', passOn);
  return {
    write(line) {
      lines += line;
      if (lines.length >= gatherLength) passOn();
      else timer ??= setTimeout(passOn, gatherMs).unref();
    },
    flush(done) {
      passOn();
      destination.flush(done);
    },
    flushSync() {
      passOn();
      destination.flushSync();
    },
  };
}

let lastMs = 0;
let lastText = '';

/** Many lines fall into one millisecond: its text is made once. */
function isoTime(): string {
  const nowMs = Date.now();
  if (nowMs !== lastMs) {
    lastMs = nowMs;
    lastText = `,"time":"${instantText(nowMs)}"`;
  }
  return lastText;
}

/** A log that says nothing. */
export function silentLog(): Logger {
  return pino({ level: 'silent' });
}
