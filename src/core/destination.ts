import type { TimerHeaders } from './secretHeaders.ts';

/**
 * What a project says of its destinations. A destination is an origin (scheme, host and port); the
 * settings of the most specific pattern that matches hold for it, for each origin by itself.
 */
export interface DestinationSettings {
  readonly id: number;
  readonly projectId: number;
  /** `api.example.com`, `api.example.com:8443`, `*.example.com` (any name below it) or `*`. */
  readonly pattern: string;
  /** Attempts under way at once, in all processes together; null for no bound but each process's own. */
  readonly concurrencyMax: number | null;
  /** First and further attempts a second (0.5 is one every two), in all processes; null for no bound. */
  readonly ratePerSecond: number | null;
  /** Of timers that say none; null for the service's WEBHOOK_TIMEOUT. */
  readonly timeoutMs: number | null;
  /** Sent where the timer has none of that name; secret ones encrypted; null for none. */
  readonly headers: TimerHeaders | null;
  /** Nothing starts until it is resumed. */
  readonly isPaused: boolean;
}

/** The settings as a process knows them: at most a second old, and at hand without waiting. */
export interface DestinationBook {
  /** Those that hold for an origin of a project; undefined where none do. */
  settingsOf(projectId: number, origin: string): DestinationSettings | undefined;
  /** The same for a URL, which is not looked at where its project has set nothing. */
  settingsOfUrl(projectId: number, url: string): DestinationSettings | undefined;
}

/** For those who set nothing. */
export const emptyBook: DestinationBook = {
  settingsOf: () => undefined,
  settingsOfUrl: () => undefined,
};
