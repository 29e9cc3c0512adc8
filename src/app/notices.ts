import { createListener, type Listener, type Notice } from '../store/listener.ts';
import type { Logger } from '../telemetry/log.ts';

/** What other processes tell this one, and what it does about it. Whatever is lost is found by looking. */
export function listenForNotices(options: {
  /** Undefined where LISTEN does not work. */
  url: string | undefined;
  log: Logger;
  /** The identity under which this process holds timers. */
  owner: () => number | undefined;
  scheduler: { wake(dueAtMs: number): void };
  changer: { answerRequests(): Promise<void>; answered(giveBackId: number): void };
  lanes: { refresh(): Promise<unknown> };
}) {
  const { url, log, owner, scheduler, changer, lanes } = options;
  const answerRequests = () =>
    changer
      .answerRequests()
      .catch((err: unknown) => log.warn({ err }, 'could not answer a request to give back'));
  const refreshLanes = () =>
    lanes
      .refresh()
      .catch((err: unknown) => log.warn({ err }, 'could not read which lanes are at work'));

  function onNotice(notice: Notice): void {
    if (notice.kind === 'wake') scheduler.wake(notice.dueAtMs);
    else if (notice.kind === 'lanes') void refreshLanes();
    else if (notice.kind === 'answered') changer.answered(notice.giveBackId);
    else if (notice.owner === owner()) void answerRequests();
  }

  const listener: Listener | undefined =
    url === undefined
      ? undefined
      : createListener({ url, onNotice, onConnected: () => void answerRequests(), log });
  listener?.start();
  return {
    refreshLanes,
    /** What a notification would have told, where none arrives. */
    look: () => (listener?.connected() === true ? Promise.resolve() : answerRequests()),
    /** Undefined where none can be heard. */
    connected: () => listener?.connected(),
    stop: () => listener?.stop(),
  };
}
