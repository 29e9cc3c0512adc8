import pino, { type Logger } from 'pino';

export type { Logger } from 'pino';

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

// Lines gather into one write: at 10,000 attempts a second a write per 4 KiB took 4 % of the
// process, a write per 16 KB a quarter of that. What gathers is written after a quarter of a second at
// the latest; a kill -9 loses that much of the log.
const gatherBytes = 16_000;
const gatherMs = 250;

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
    pino.destination({ sync: false, minLength: gatherBytes, periodicFlush: gatherMs }),
  );
}

let lastMs = 0;
let lastText = '';

/** Many lines fall into one millisecond: its text is made once. */
function isoTime(): string {
  const nowMs = Date.now();
  if (nowMs !== lastMs) {
    lastMs = nowMs;
    lastText = `,"time":"${new Date(nowMs).toISOString()}"`;
  }
  return lastText;
}

/** A log that says nothing. */
export function silentLog(): Logger {
  return pino({ level: 'silent' });
}
