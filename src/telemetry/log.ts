import pino, { type Logger } from 'pino';

export type { Logger } from 'pino';

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * The service's log: JSON lines on standard output, or with `pretty` lines for people. Written
 * synchronously in small buffers, so that what was logged before a crash is there to read.
 */
export async function createLog(options: { level: LogLevel; pretty: boolean }): Promise<Logger> {
  const { level, pretty } = options;
  if (pretty) {
    // Only `dev` needs it; production does not load it.
    const { default: prettyStream } = await import('pino-pretty');
    return pino(
      { level, base: null },
      prettyStream({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l', sync: true }),
    );
  }
  return pino(
    { level, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ sync: false, minLength: 4096 }),
  );
}

/** A log that says nothing. */
export function silentLog(): Logger {
  return pino({ level: 'silent' });
}
