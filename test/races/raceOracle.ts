import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Database } from '../../src/store/database.ts';
import { sql } from '../support/database.ts';
import { idOf } from '../support/oracle.ts';
import type { Arrival } from '../support/receiver.ts';
import type { Expected, Race } from './changeRace.ts';

interface Stored {
  readonly status: string;
  readonly version: number;
  /** Of attempts, also of such as were lost. */
  readonly attempts: number;
}

/**
 * Holds each answer against what arrived and what the database says, and throws on the first that was
 * not true: a 200 is final, so the timer as it was never starts, and as it was moved fires once, not
 * before its new due instant; a 409 changes nothing, so it fires once. There is no other answer.
 */
export async function judgeRaces(
  races: readonly Race[],
  arrivals: readonly Arrival[],
  database: Database,
): Promise<void> {
  const arrivalsAtMs = new Map<number, number[]>(races.map(({ id }) => [id, []]));
  for (const arrival of arrivals) {
    const known = arrivalsAtMs.get(idOf(arrival));
    assert.ok(known !== undefined, `${arrival.path} arrived, which is no timer of the race`);
    known.push(arrival.atMs);
  }
  const stored = await readStored(database);
  for (const race of races) {
    const { id, status, code, dueAtMs, movedToMs, sentAtMs, answeredAtMs } = race;
    const atMs = arrivalsAtMs.get(id) ?? [];
    const about = `timer ${id}, ${race.wish} sent to its ${race.sentTo} ${dueAtMs - sentAtMs} ms before due, answered ${status} ${code} ${answeredAtMs - dueAtMs} ms after due, arrived ${atMs.map((ms) => ms - dueAtMs).join(' and ') || 'never'}`;
    assert.ok(status === 200 || (status === 409 && code === 'too_late'), about);
    const expected = expectedOf(race);
    assert.deepEqual(stored.get(id), expected, about);
    assert.equal(atMs.length, expected.attempts, about);
    for (const ms of atMs) assert.ok(ms >= (movedToMs ?? dueAtMs), `early: ${about}`);
  }
}

function expectedOf({ status, wish }: Race): Stored {
  if (status !== 200) return { status: 'succeeded', version: 1, attempts: 1 };
  if (wish === 'cancel') return { status: 'cancelled', version: 1, attempts: 0 };
  if (wish === 'move') return { status: 'succeeded', version: 2, attempts: 1 };
  return { status: 'pending', version: 2, attempts: 0 };
}

async function readStored(database: Database): Promise<Map<number, Stored>> {
  const rows = await sql<[number, string, number, number]>(
    database,
    `SELECT s.id, s.status, s.version, count(a.timer_id) FROM (
       SELECT id, 'pending' AS status, version FROM belfry.timers
       UNION ALL SELECT id, status, version FROM belfry.history
     ) AS s LEFT JOIN belfry.attempts a ON a.timer_id = s.id GROUP BY 1, 2, 3`,
  );
  return new Map(
    rows.map(([id, status, version, attempts]) => [id, { status, version, attempts }]),
  );
}

/** A race that only one side ever wins says nothing. */
export function oneSided(races: readonly Race[]): string | undefined {
  for (const status of [200, 409]) {
    const times = races.filter((race) => race.status === status).length;
    if (times <= races.length / 20) return `${times} of ${races.length} were answered ${status}`;
  }
  return undefined;
}

export function percentDone(races: readonly Race[], expected: Expected): number {
  const { sentTo, fromMs, toMs } = expected;
  const hot = races.filter((race) => race.sentTo === sentTo && !race.isCold);
  const share = shareDone(hot, fromMs, toMs);
  assert.ok(
    share.sent > races.length / 20,
    `${share.sent} were sent ${fromMs} to ${toMs} ms before`,
  );
  return share.percent;
}

const bandsMs = [
  [-50, 0],
  [0, 10],
  [10, 20],
  [20, 50],
  [50, 100],
  [100, 200],
  [200, 400],
] as const;

/** How many of those that were sent so long before due were made. */
export function report(t: TestContext, races: readonly Race[]): void {
  for (const sentTo of ['owner', 'other'] as const) {
    const hot = races.filter((race) => race.sentTo === sentTo && !race.isCold);
    for (const [from, to] of bandsMs) {
      const { sent, done, percent } = shareDone(hot, from, to);
      if (sent === 0) continue;
      t.diagnostic(
        `sent to the ${sentTo} ${from} to ${to} ms before due: ${done} of ${sent} made (${percent.toFixed(1)} %)`,
      );
    }
  }
  const answers = new Map<string, number>();
  for (const { wish, status, code } of races) {
    const answer = `${wish} ${status} ${code}`.trim();
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
  t.diagnostic([...answers].map(([what, times]) => `${times} × ${what}`).join(', '));
}

function shareDone(races: readonly Race[], fromMs: number, toMs: number) {
  const sent = races.filter(({ dueAtMs, sentAtMs }) => {
    const beforeMs = dueAtMs - sentAtMs;
    return beforeMs >= fromMs && beforeMs < toMs;
  });
  const done = sent.filter(({ status }) => status === 200).length;
  return { sent: sent.length, done, percent: (done / Math.max(1, sent.length)) * 100 };
}
