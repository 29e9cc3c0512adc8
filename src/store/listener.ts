import pg from 'pg';
import type { Logger } from '../telemetry/log.ts';
import { connectionConfig } from './database.ts';

/** What processes tell each other. Hints only: whatever is lost is found by the next poll. */
export type Notice =
  /** Timers were committed unclaimed, the nearest due then (Unix epoch). */
  | { readonly kind: 'wake'; readonly dueAtMs: number }
  /** Lanes of this project were closed or are to be drained. */
  | { readonly kind: 'lanes'; readonly projectId: number }
  /** A process is asked to give timers back. */
  | { readonly kind: 'asked'; readonly owner: number }
  /** Such a request was answered. */
  | { readonly kind: 'answered'; readonly giveBackId: number };

export interface Listener {
  start(): void;
  stop(): Promise<void>;
  /** Whether notices arrive at present. */
  connected(): boolean;
}

const reconnectMs = 500;
/** A connection that vanished without a word is noticed by this question. */
const pingEveryMs = 5_000;
const answerTimeoutMs = 5_000;

/** Listens on a connection of its own, and comes back by itself when that is lost. */
export function createListener(options: {
  url: string;
  onNotice: (notice: Notice) => void;
  /** Notices arrive (again): what was told before went unheard. */
  onConnected: () => void;
  log: Logger;
}): Listener {
  const { url, onNotice, onConnected, log } = options;
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let connected = false;
  let stopped = true;

  async function connect(): Promise<void> {
    const next = new pg.Client({
      ...connectionConfig({ url, transactionPooler: false, statementTimeoutMs: answerTimeoutMs }),
      connectionTimeoutMillis: answerTimeoutMs,
    });
    client = next;
    const ping = setInterval(() => {
      if (connected) next.query('SELECT 1').catch(() => next.end().catch(() => undefined));
    }, pingEveryMs);
    next.on('error', () => undefined);
    next.on('end', () => {
      if (connected) log.warn('lost the connection that listens for wake-ups');
      connected = false;
      clearInterval(ping);
      if (!stopped) timer = setTimeout(() => void connect(), reconnectMs);
    });
    next.on('notification', ({ payload }) => {
      const notice = parseNotice(payload ?? '');
      if (notice !== undefined) onNotice(notice);
    });
    try {
      await next.connect();
      await next.query('LISTEN belfry');
      connected = !stopped;
      if (connected) onConnected();
    } catch {
      await next.end().catch(() => undefined);
    }
  }

  return {
    start() {
      stopped = false;
      void connect();
    },
    async stop() {
      stopped = true;
      connected = false;
      clearTimeout(timer);
      await client?.end().catch(() => undefined);
    },
    connected: () => connected,
  };
}

function parseNotice(payload: string): Notice | undefined {
  const [kind, argument = ''] = payload.split(' ', 2);
  const number = Number(argument);
  if (argument === '' || !Number.isFinite(number)) return undefined;
  switch (kind) {
    case 'wake':
      return { kind, dueAtMs: number };
    case 'lanes':
      return { kind, projectId: number };
    case 'asked':
      return { kind, owner: number };
    case 'answered':
      return { kind, giveBackId: number };
    default:
      return undefined;
  }
}
