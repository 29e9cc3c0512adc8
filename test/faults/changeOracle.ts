import assert from 'node:assert/strict';
import type { Database } from '../../src/store/database.ts';
import { sql } from '../support/database.ts';
import { idOf } from '../support/oracle.ts';
import type { Arrival } from '../support/receiver.ts';
import type { ChangeLog } from './changeLog.ts';

interface Ended {
  readonly status: string;
  readonly failureCode: string | null;
  readonly version: number;
  /** The marks of its URL and its body. */
  readonly content: string;
  readonly attempts: ReadonlyMap<number, 'lost' | 'failed' | 'succeeded'>;
}

export interface ChangeVerdict {
  readonly timers: number;
  readonly arrivals: number;
  readonly lostAttempts: number;
  /** Arrivals of what had been changed meanwhile, of attempts that their process did not survive. */
  readonly afterChange: number;
}

/** Compares what was answered, what arrived and what the database says once all timers have ended. */
export async function judgeChanges(
  logs: readonly ChangeLog[],
  arrivals: readonly Arrival[],
  database: Database,
): Promise<ChangeVerdict> {
  const ended = await readEnded(database);
  const possible = Map.groupBy(
    logs.flatMap((log) => log.possible),
    ({ content }) => content,
  );
  const arrived = new Map<string, string>();
  let afterChange = 0;
  for (const arrival of arrivals) {
    const { atMs, body } = arrival;
    const id = idOf(arrival);
    const attempt = Number(arrival.headers['belfry-attempt']);
    const outcome = ended.get(id)?.attempts.get(attempt);
    const states = (possible.get(body) ?? []).filter(
      (one) => one.id === undefined || one.id === id,
    );
    const about = `attempt ${attempt} of timer ${id} arrived at ${atMs} at ${arrival.path} with ${body}, recorded as ${outcome}; possible were ${JSON.stringify(states)}, ended as ${JSON.stringify(ended.get(id))}${historyOf(body, logs)}`;
    assert.equal(arrival.path, `/${body}/${id}`, `a mixture of two contents: ${about}`);
    assert.ok(!arrived.has(`${id} ${attempt}`), `an attempt twice: ${about}`);
    arrived.set(`${id} ${attempt}`, body);
    assert.ok(outcome !== undefined, `an attempt of which nothing is recorded: ${about}`);
    const due = states.filter(({ dueAtMs, sinceMs }) => atMs >= Math.max(dueAtMs, sinceMs));
    assert.ok(due.length > 0, `early, or nobody asked for it: ${about}`);
    if (due.some(({ untilMs }) => atMs <= untilMs)) continue;
    // Begun before the change was made, by a process that was stopped or killed under it.
    assert.equal(outcome, 'lost', `after a change that was answered: ${about}`);
    afterChange += 1;
  }
  for (const [id, timer] of ended) judgeEnding(id, timer, arrived);
  for (const log of logs) judgeLog(log, ended);
  const outcomes = Array.from(ended.values(), ({ attempts }) =>
    Array.from(attempts.values()),
  ).flat();
  const lostAttempts = outcomes.filter((outcome) => outcome === 'lost').length;
  return { timers: ended.size, arrivals: arrivals.length, lostAttempts, afterChange };
}

/** All that callers were told of the timer of a content, for whoever has to find out what went wrong with it. */
function historyOf(mark: string, logs: readonly ChangeLog[]): string {
  const log = logs.find(({ possible }) => possible.some(({ content }) => content === mark));
  return log === undefined ? '' : `; in all ${JSON.stringify([log.answers, log.certain])}`;
}

function judgeEnding(id: number, timer: Ended, arrived: ReadonlyMap<string, string>): void {
  const outcomes = [...timer.attempts].toSorted(([a], [b]) => a - b).map(([, outcome]) => outcome);
  const about = `timer ${id}: ${timer.status} ${timer.failureCode ?? ''}, ${outcomes.join(', ')}`;
  if (timer.status === 'cancelled') return;
  if (timer.failureCode === 'attempts_lost') {
    assert.deepEqual(outcomes.slice(-3), ['lost', 'lost', 'lost'], about);
    return;
  }
  assert.equal(timer.status, 'succeeded', about);
  // Once: it came again only where an attempt was lost, or failed.
  assert.equal(outcomes.indexOf('succeeded'), outcomes.length - 1, about);
  const last = Math.max(...timer.attempts.keys());
  assert.equal(arrived.get(`${id} ${last}`), timer.content, `sent is what is stored: ${about}`);
}

function judgeLog({ certain, id, possible }: ChangeLog, ended: ReadonlyMap<number, Ended>): void {
  if (id === undefined) return;
  const timer = ended.get(id);
  const about = `timer ${id}: ${JSON.stringify({ ...timer, attempts: [...(timer?.attempts ?? [])] })}, last answer ${JSON.stringify(certain)}`;
  assert.ok(timer !== undefined, `lost: ${about}`);
  const contents = possible.map(({ content }) => content);
  assert.ok(contents.includes(timer.content), `nobody asked for that: ${about}`);
  if (certain === 'cancelled') assert.equal(timer.status, 'cancelled', about);
  else if (certain !== undefined) {
    assert.notEqual(timer.status, 'cancelled', about);
    assert.deepEqual([timer.version, timer.content], [certain.version, certain.content], about);
  }
}

async function readEnded(database: Database): Promise<Map<number, Ended>> {
  const timers = await sql<[number, string, string | null, number, string]>(
    database,
    `SELECT id, status, failure_code, version, convert_from(body, 'UTF8') FROM belfry.history
     WHERE url LIKE '%/' || convert_from(body, 'UTF8')`,
  );
  const [all] = await sql<[number]>(database, 'SELECT count(*) FROM belfry.history');
  assert.equal(timers.length, all?.[0], 'a mixture of two contents is stored');
  const attempts = await sql<[number, number, string | null, number | null]>(
    database,
    'SELECT timer_id, number, error_code, status FROM belfry.attempts',
  );
  const ofTimer = Map.groupBy(attempts, ([id]) => id);
  return new Map(
    timers.map(([id, status, failureCode, version, content]) => {
      const outcomes = new Map(
        (ofTimer.get(id) ?? []).map(([, number, errorCode, code]) => {
          const outcome = code === 200 ? 'succeeded' : errorCode === 'lost' ? 'lost' : 'failed';
          return [number, outcome] as const;
        }),
      );
      return [id, { status, failureCode, version, content, attempts: outcomes }];
    }),
  );
}
