import type { TimerHeaders } from './secretHeaders.ts';
import type { GivenTls, ShownTls } from './tlsIdentity.ts';

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
  settingsOf(projectId: number, origin: string): SendingSettings | undefined;
  /** The same of where a URL leads. Of a project that has none it is not even parsed. */
  settingsOfUrl(projectId: number, url: string): SendingSettings | undefined;
  /** Whether the project has any, or any project. */
  hasAny(projectId?: number): boolean;
}

/** For those who set nothing. */
export const emptyBook: DestinationBook = {
  settingsOf: () => undefined,
  settingsOfUrl: () => undefined,
  hasAny: () => false,
};

/** With what only sending needs. */
export interface SendingSettings extends DestinationSettings {
  readonly version: number;
  /** Whether there is a client certificate or a private authority: too large to be at hand. */
  readonly hasTls: boolean;
}

/** Settings of a project at most. */
export const destinationsMax = 200;

export const rateSpans = { second: 1, minute: 60, hour: 3_600 } as const;

/** So many attempts in so long a time. */
export interface DestinationRate {
  readonly count: number;
  readonly per: keyof typeof rateSpans;
}

/** What callers say of a destination. */
export interface DestinationContent {
  readonly concurrencyMax: number | null;
  readonly rate: DestinationRate | null;
  readonly timeoutMs: number | null;
  /** Secret ones encrypted, or on their way there. */
  readonly headers: TimerHeaders | null;
}

/** The settings of a pattern as they are kept and shown. Instants in milliseconds of the Unix epoch. */
export interface Destination extends DestinationContent {
  readonly id: number;
  readonly projectId: number;
  readonly pattern: string;
  /** Counts what callers have changed of it, from 1. */
  readonly version: number;
  readonly tls: ShownTls | null;
  readonly isPaused: boolean;
  readonly createdAtMs: number;
  readonly changedAtMs: number;
}

/** What settings are to become. */
export interface DestinationEdit {
  readonly content: DestinationContent;
  /** Undefined: as it is. */
  readonly tls: GivenTls | null | undefined;
}

export interface DestinationWish {
  readonly projectId: number;
  readonly pattern: string;
  /** Of what is there, undefined for nothing, of which it may make settings too; undefined: leave it. */
  readonly edit: (before: Destination | undefined) => DestinationEdit | undefined;
  /** For the log of deeds: no secrets. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export type DestinationResult =
  | { readonly kind: 'set'; readonly destination: Destination; readonly isNew: boolean }
  | { readonly kind: 'not_found' }
  /** There are as many as there may be. */
  | { readonly kind: 'too_many' };

export const noDestinationContent: DestinationContent = {
  concurrencyMax: null,
  rate: null,
  timeoutMs: null,
  headers: null,
};
