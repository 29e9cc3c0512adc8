import type {
  Attempt,
  Blocker,
  Explanation,
  ListedTimer,
  Timer,
  TimerStatus,
} from '../../../packages/client/src/index.ts';
import type { Paint, Terminal } from '../command.ts';
import { table } from '../table.ts';
import { visible } from '../visible.ts';
import { localTime, shownInstant } from '../when.ts';

const statusColours = {
  pending: 'bold',
  delivering: 'bold',
  retrying: 'yellow',
  succeeded: 'green',
  failed: 'red',
  cancelled: 'dim',
} as const;

export function shownStatus(status: TimerStatus, paint: Paint): string {
  return paint(statusColours[status], status);
}

/** A timer as JSON, or as rows of name and value. */
export function showTimer(timer: Timer, terminal: Terminal): void {
  if (terminal.isJson) {
    terminal.json(timer);
    return;
  }
  const nowMs = Date.now();
  const rows: [string, string][] = [
    ['timer', String(timer.id)],
    ['status', shownStatus(timer.status, terminal.paint) + because(timer.failure_code)],
    ['calls', visible(`${timer.method} ${timer.url}`)],
    ['due', shownInstant(timer.due_at, nowMs)],
  ];
  if (timer.defect !== undefined) rows.push(['defect', visible(timer.defect)]);
  if (timer.next_attempt_at !== null && timer.next_attempt_at !== timer.due_at) {
    rows.push(['next attempt', shownInstant(timer.next_attempt_at, nowMs)]);
  }
  if (timer.finished_at !== null) rows.push(['finished', shownInstant(timer.finished_at, nowMs)]);
  rows.push(['created', shownInstant(timer.created_at, nowMs)]);
  // A service that is older than keys does not send one.
  if (typeof timer.key === 'string') rows.push(['key', timer.key]);
  if (timer.labels.length > 0) rows.push(['labels', visible(timer.labels.join(', '))]);
  if (timer.metadata !== null) {
    rows.push(['metadata', visible(JSON.stringify(timer.metadata))]);
  }
  terminal.line(table(rows.map(([name, value]) => [terminal.paint('dim', name), value])));
  if (timer.attempts.length > 0) terminal.line(`\n${attemptTable(timer.attempts, terminal.paint)}`);
}

/** What keeps a timer, one sentence a line, and when it is expected to fire. */
export function showExplanation(explanation: Explanation, terminal: Terminal): void {
  if (terminal.isJson) {
    terminal.json(explanation);
    return;
  }
  const nowMs = Date.parse(explanation.now);
  const { blocker, also, expected_at: expectedAt } = explanation;
  const rows: [string, string][] = [blocker, ...also].map((each) => [
    each.code,
    visible(each.message) + detailsOf(each, nowMs),
  ]);
  if (expectedAt !== null) rows.push(['expected', shownInstant(expectedAt, nowMs)]);
  terminal.line(table(rows.map(([name, value]) => [terminal.paint('dim', name), value])));
}

function detailsOf({ since, until, ahead, held_by: heldBy }: Blocker, nowMs: number): string {
  const details = [
    typeof since === 'string' ? `since ${shownInstant(since, nowMs)}` : '',
    until === null ? '' : `until ${shownInstant(until, nowMs)}`,
    ahead === undefined ? '' : `${ahead} before it`,
    heldBy === undefined ? '' : `process ${heldBy}`,
  ].filter((detail) => detail !== '');
  return details.length === 0 ? '' : ` (${details.join(', ')})`;
}

export function attemptTable(attempts: readonly Attempt[], paint: Paint): string {
  const head = ['attempt', 'started', 'late', 'took', 'answer'].map((name) => paint('dim', name));
  return table([head, ...attempts.map((attempt) => attemptRow(attempt, paint))]);
}

export function attemptRow(attempt: Attempt, paint: Paint): string[] {
  const { number, started_at: startedAt, error_code: error } = attempt;
  const answer = [attempt.status ?? '', error ?? ''].filter((part) => part !== '').join(' ');
  return [
    String(number),
    startedAt === null ? '-' : localTime(startedAt),
    milliseconds(attempt.lateness_ms),
    milliseconds(attempt.duration_ms),
    paint(error === null ? 'green' : 'red', answer),
  ];
}

export function listRow(timer: ListedTimer, paint: Paint, nowMs: number): string[] {
  return [
    String(timer.id),
    shownStatus(timer.status, paint) + because(timer.failure_code),
    shownInstant(timer.next_attempt_at ?? timer.finished_at, nowMs),
    String(timer.attempt_count),
    visible(`${timer.method} ${timer.url}`),
    visible(timer.labels.join(',')),
  ];
}

function because(code: string | null): string {
  return code === null ? '' : ` (${code})`;
}

function milliseconds(ms: number | null): string {
  return ms === null ? '-' : `${Math.round(ms * 10) / 10} ms`;
}
