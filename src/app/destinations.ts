import type { DestinationService } from '../api/routes/destinations.ts';

/** The settings as callers see and change them; a change is looked for at once where timers are fired. */
export function destinationService<
  Store extends Omit<DestinationService, 'onChanged' | 'rules' | 'secrets'>,
>(options: {
  store: Store;
  /** Undefined where nothing is fired. */
  book: { refresh(): Promise<void> } | undefined;
  rules: DestinationService['rules'];
}) {
  const { store, book, rules } = options;
  return {
    ...store,
    // Where this fails, the next look finds it.
    onChanged: () => book?.refresh().catch(() => undefined) ?? Promise.resolve(),
    rules,
  };
}
