import type { Logger } from '../telemetry/log.ts';

/** How to stop what was started, in the order of starting. */
export type Undo = (() => Promise<unknown> | undefined | void)[];

/** The last first; one that fails does not keep the others. */
export async function unwind(undo: Undo, log: Logger): Promise<void> {
  for (const step of undo.toReversed()) {
    try {
      await step();
    } catch (err) {
      log.error({ err }, 'a step of the shutdown failed');
    }
  }
}
