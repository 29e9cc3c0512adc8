import type { DestinationBook, SendingSettings } from '../../../src/core/destination.ts';

type Wish = Partial<
  Pick<SendingSettings, 'concurrencyMax' | 'ratePerSecond' | 'timeoutMs' | 'isPaused'>
>;

/** A book of one project that a test writes in; every process that has it knows at once. */
export interface TestBook extends DestinationBook {
  set(origin: string, wish: Wish): void;
}

export function testBook(projectId = 1): TestBook {
  const settings = new Map<string, SendingSettings>();
  const settingsOf = (project: number, origin: string) =>
    project === projectId ? settings.get(origin) : undefined;
  return {
    settingsOf,
    hasAny: () => settings.size > 0,
    settingsOfUrl: (project, url) => settingsOf(project, new URL(url).origin),
    set(origin, wish) {
      settings.set(origin, {
        id: 1,
        projectId,
        pattern: new URL(origin).host,
        concurrencyMax: null,
        ratePerSecond: null,
        timeoutMs: null,
        headers: null,
        isPaused: false,
        version: 1,
        hasTls: false,
        ...wish,
      });
    },
  };
}
