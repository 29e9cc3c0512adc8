import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, type Answer, type TimerClient } from '../support/timerClient.ts';
import { ChangeLog, type Told } from './changeLog.ts';

type Method = 'POST' | 'PUT' | 'PATCH' | 'DELETE';

interface Wish {
  readonly method: Method;
  readonly path: string;
  readonly body?: Record<string, unknown>;
  /** The content that it gives the timer, and in how many seconds it is due; null for as before. */
  readonly content: string | null;
  readonly delay: number | null;
}

export interface ChangeLoad {
  readonly logs: readonly ChangeLog[];
  readonly answers: ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

/** Nothing of a request whose connection broke is under way any more after this. */
const brokenRestMs = 1_000;
const paceMaxMs = 120;
const delays = [0.02, 0.4, 0.9, 1.6, 2.6];

/**
 * Changes `names` names and about as many timers without one, steadily, each of them one change after
 * another and each change through another process.
 */
export function startChangeLoad(options: {
  url: string;
  names: number;
  client: () => TimerClient;
}): ChangeLoad {
  const { url, names, client } = options;
  const logs: ChangeLog[] = [];
  const answers = new Map<string, number>();
  let isRunning = true;
  let lastContent = 0;

  function newContent(): { content: string; fields: { url: string; body: string } } {
    const content = `c${(lastContent += 1)}`;
    return { content, fields: { url: `${url}/${content}`, body: content } };
  }

  function wishFor(log: ChangeLog, key: string | undefined): Wish {
    const delay = pick(delays);
    const { content, fields } = newContent();
    const replace = { content, delay, body: { ...fields, delay } };
    const timer = `/timers/${log.id ?? 0}`;
    // What is in doubt about a name, another push-back tells.
    const isToPut = log.id === undefined || log.isDoubtful() || Math.random() < 0.6;
    if (key !== undefined && isToPut) {
      return { method: 'PUT', path: `/timers/by-key/${key}`, ...replace };
    }
    if (log.id === undefined) return { method: 'POST', path: '/timers', ...replace };
    const kept = { content: null, delay: null };
    const what = pick(['move', 'move', 'edit', 'replace', 'fire', 'retry', 'cancel'] as const);
    switch (what) {
      case 'move':
        return { method: 'PATCH', path: timer, ...kept, delay, body: { delay } };
      case 'edit':
        return { method: 'PATCH', path: timer, ...kept, content, body: fields };
      case 'replace':
        return { method: 'PATCH', path: timer, ...replace };
      case 'fire':
        return { method: 'POST', path: `${timer}/fire`, ...kept, delay: 0 };
      case 'retry':
        // A name is lost on the way.
        if (key !== undefined) return wishFor(log, key);
        return { method: 'POST', path: `${timer}/retry`, ...kept, delay, body: { delay } };
      default:
        if (key === undefined) return { method: 'DELETE', path: timer, ...kept };
        return { method: 'DELETE', path: `/timers/by-key/${key}`, ...kept };
    }
  }

  /** False when the answer was lost. */
  async function make(log: ChangeLog, { method, path, body, ...wish }: Wish): Promise<boolean> {
    const sentAtMs = Date.now();
    const dueAtMs = wish.delay === null ? null : sentAtMs + wish.delay * 1_000;
    const note = (what: string) =>
      log.answers.push(
        `${sentAtMs}–${Date.now()} ${method} ${path} ${wish.content ?? ''}: ${what}`,
      );
    const lost = () => {
      const isCancel = method === 'DELETE';
      log.unknown(sentAtMs, isCancel ? undefined : { content: wish.content, dueAtMs });
      return false;
    };
    let answer: Answer;
    try {
      answer = await client().send(method, path, body);
    } catch (err) {
      count(`${method} without an answer`);
      note(String(err));
      // Never sent.
      if (err instanceof Error && 'code' in err && err.code === 'ECONNREFUSED') return true;
      return lost();
    }
    const { status } = answer;
    const code = codeOf(answer);
    count(`${method} ${status} ${code}`.trim());
    note(`${status} ${code} ${JSON.stringify(answer.body)}`);
    if (code === 'commit_unknown') return lost();
    if (status >= 300) {
      const about = `${method} ${path}: ${status} ${JSON.stringify(answer.body)}`;
      assert.ok([404, 409, 503].includes(status) && code !== '', about);
      assert.ok(status !== 409 || method !== 'PUT', about);
      assert.ok(status !== 404 || path.includes('by-key'), about);
    } else if (method === 'DELETE') log.cancelled(Number(answer.body['id']));
    else if (method === 'POST' && path === '/timers') {
      const told = { ...toldBy(answer, wish.content ?? ''), version: 1 };
      log.changed(told, sentAtMs);
    } else {
      const told = toldBy(answer, String(answer.body['body']));
      if (wish.content !== null) assert.equal(told.content, wish.content);
      log.changed(told, sentAtMs, detachedBy(answer));
    }
    return true;
  }

  function count(what: string): void {
    answers.set(what, (answers.get(what) ?? 0) + 1);
  }

  async function changeOne(key: string | undefined): Promise<void> {
    while (isRunning) {
      const log = new ChangeLog();
      logs.push(log);
      // A timer without a name is left to its end after a while, and another one begun.
      for (let change = 0; isRunning && (key !== undefined || change < 12); change++) {
        const isKnown = await make(log, wishFor(log, key));
        await sleep(isKnown ? Math.random() * paceMaxMs : brokenRestMs);
        if (!isKnown && key === undefined && log.id === undefined) break;
      }
    }
  }

  const loads = Array.from({ length: 2 * names }, (_, index) =>
    changeOne(index % 2 === 0 ? `name-${index}` : undefined),
  );
  const ended = Promise.all(loads);
  // Told by `stop`.
  ended.catch(() => undefined);
  return {
    logs,
    answers,
    async stop() {
      isRunning = false;
      await ended;
    },
  };
}

function toldBy({ body }: Answer, content: string): Told {
  assert.ok(String(body['url']).endsWith(`/${content}`), JSON.stringify(body));
  const dueAtMs = Date.parse(String(body['due_at']));
  return { id: Number(body['id']), version: Number(body['version']), content, dueAtMs };
}

function detachedBy({ body }: Answer): number | undefined {
  const previous: unknown = body['previous'];
  if (typeof previous !== 'object' || previous === null || !('id' in previous)) return undefined;
  return Number(previous.id);
}

function pick<Item>(items: readonly [Item, ...Item[]] | readonly Item[]): Item {
  const item = items[Math.floor(Math.random() * items.length)];
  assert.ok(item !== undefined);
  return item;
}
