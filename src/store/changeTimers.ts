import type { Due } from '../core/due.ts';
import type { TimerId } from '../core/ids.ts';
import type { SecretBox } from '../core/secretBox.ts';
import { sealHeaders } from '../core/secretHeaders.ts';
import type { TimerContent } from '../core/timer.ts';
import { booleanArray, numberArray, textArray } from './arrayLiteral.ts';
import { createBatcher, type Batcher } from './batcher.ts';
import type { ChangeFence } from './cancelTimers.ts';
import { contentColumns } from './createStatement.ts';
import { contentBytes } from './createTimers.ts';
import type { Database, Statement } from './database.ts';
import type { NearTimers } from './insertTimers.ts';
import { isFree, isLost, pastOwners } from './pastOwners.ts';

/** A change of a live timer, whose owner (if it has one) has let go of it for that. */
export interface TimerChange {
  readonly projectId: number;
  readonly id: TimerId;
  readonly fence: ChangeFence | null;
  /** Only if it is of this version still; null for whatever version. */
  readonly version: number | null;
  /** Only if it has this name still; null for whatever name. */
  readonly key: string | null;
  /** `fire`: now, unless it was due already. Null: stays. What expires moves along. */
  readonly due: Due | 'fire' | null;
  /** Replaces all that it says; null: stays. */
  readonly content: TimerContent | null;
  /** Failures before this do not count any more. */
  readonly startsAnew: boolean;
}

// Rows are locked in the order of ids. What waits in a lane leaves it: it may lead elsewhere now, or be due
// elsewhen, and is judged again. With labels the statement keeps timer_labels in step: what
// goes and what comes are disjoint, for one statement cannot delete a row and insert it again.
function changeStatement(name: string, isWhole: boolean): Statement {
  const content = isWhole ? contentColumns : [];
  const names = content.map((column) => `, ${column.name}`).join('');
  const arrays = content.map(({ type }, index) => `, $${index + 11}::${type}[]`).join('');
  const set = content
    .filter(({ stored }) => stored)
    .map(({ name: column, expression }) => `, ${column} = ${expression ?? `i.${column}`}`)
    .join('');
  const millisecond = "interval '1 millisecond'";
  const expiry = isWhole
    ? `d.due_at + i.expires_after_ms * ${millisecond}`
    : 'j.expires_at + (d.due_at - j.due_at)';
  const labels = `, labels_gone AS (
  DELETE FROM belfry.timer_labels l
  USING judged j JOIN input i ON i.id = j.id AND i.project_id = j.project_id,
    unnest(j.labels) AS old(label)
  WHERE l.project_id = j.project_id AND l.timer_id = j.id AND l.label = old.label
    AND NOT coalesce(i.labels ? old.label, false)
), labels_come AS (
  INSERT INTO belfry.timer_labels (project_id, label, timer_id)
  SELECT j.project_id, new.label, j.id
  FROM judged j JOIN input i ON i.id = j.id AND i.project_id = j.project_id,
    jsonb_array_elements_text(i.labels) AS new(label)
  ON CONFLICT DO NOTHING
)`;
  const text = `
WITH base AS (
  SELECT date_trunc('milliseconds', statement_timestamp() + interval '999 microseconds') AS at
), ${pastOwners}, input AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[],
    $6::float8[], $7::float8[], $8::boolean[], $9::boolean[], $10::text[]${arrays})
    AS i(id, project_id, owner, claim, version, delay_ms, due_at_ms, fires, starts_anew, name${names})
), found AS MATERIALIZED (
  SELECT t.id, t.project_id, t.owner, t.claim, t.next_at, t.due_at, t.expires_at, t.attempts,
    t.lost_in_row, t.start_marked, t.labels
  FROM input i JOIN belfry.timers t ON t.id = i.id AND t.project_id = i.project_id
  WHERE t.id = ANY ($1::bigint[]) AND (i.version IS NULL OR t.version = i.version) AND (i.name IS NULL OR t.key = i.name)
    AND ${isFree}
  ORDER BY t.id FOR UPDATE OF t
), judged AS MATERIALIZED (
  SELECT f.*, ${isLost} AS lost
  FROM found f LEFT JOIN past_owners p ON p.id = f.owner
), lost_attempts AS (
  INSERT INTO belfry.attempts (timer_id, project_id, recorded_at, claim, number, error_code)
  SELECT id, project_id, statement_timestamp(), claim, attempts + 1, 'lost' FROM judged WHERE lost
)${isWhole ? labels : ''}
UPDATE belfry.timers t SET owner = NULL, claim = NULL, start_marked = false, parked_lane = NULL,
  version = t.version + 1, attempts = t.attempts + j.lost::integer,
  failures = CASE WHEN i.starts_anew THEN 0 ELSE t.failures END,
  lost_in_row = CASE WHEN i.starts_anew THEN 0 ELSE t.lost_in_row + j.lost::integer END,
  next_at = CASE WHEN i.fires THEN least(j.next_at, base.at)
    WHEN i.delay_ms IS NULL AND i.due_at_ms IS NULL THEN j.next_at ELSE d.due_at END,
  due_at = d.due_at, expires_at = ${expiry}${set}
FROM base, judged j JOIN input i ON i.id = j.id AND i.project_id = j.project_id,
  LATERAL (SELECT CASE WHEN i.fires THEN least(j.due_at, (SELECT at FROM base))
    WHEN i.delay_ms IS NOT NULL THEN (SELECT at FROM base) + i.delay_ms * ${millisecond}
    WHEN i.due_at_ms IS NOT NULL THEN greatest((SELECT at FROM base),
      timestamptz 'epoch' + i.due_at_ms * ${millisecond})
    ELSE j.due_at END AS due_at) AS d
WHERE t.id = ANY ($1::bigint[]) AND t.id = j.id
RETURNING t.id, t.version, round(date_part('epoch', t.next_at) * 1000)::bigint,
  round(date_part('epoch', base.at) * 1000)::bigint`;
  return { name, text };
}

/** For those that only move: nothing of the content travels. */
const moveTimers = changeStatement('move_timers', false);
const replaceTimers = changeStatement('replace_timers', true);

export interface TimerChanger {
  /**
   * Resolves with the new version, or undefined when the change was refused: the timer is finished,
   * owned by somebody else, or of another version or name. What was owned is nobody's afterwards.
   */
  change(change: TimerChange): Promise<number | undefined>;
}

/** Changes in batches, those that only move a timer apart from the others. */
export function createTimerChanger(options: {
  database: Database;
  near?: Pick<NearTimers, 'committed'>;
  /** Without: no timer has secret headers. */
  box?: SecretBox | undefined;
}): TimerChanger {
  const { database, near, box } = options;

  function batcher(isWhole: boolean): Batcher<TimerChange, number | undefined> {
    return createBatcher({
      name: 'changes',
      onLoss: 'fail',
      bytesOf: ({ content }) => (content === null ? 100 : contentBytes(content)),
      async flush(changes) {
        const firsts = firstOfEachTimer(changes);
        const rows = await database.query<[number, number, number, number]>(
          isWhole ? replaceTimers : moveTimers,
          [...placesOf(firsts), ...(isWhole ? contentsOf(firsts) : [])],
        );
        const versions = new Map(rows.map(([id, version]) => [id, version]));
        const nearestAtMs = Math.min(...rows.map(([, , nextAtMs]) => nextAtMs));
        const baseMs = rows[0]?.[3] ?? 0;
        if (rows.length > 0) near?.committed(nearestAtMs, nearestAtMs - baseMs);
        const asked = new Set(firsts);
        return changes.map((change) => (asked.has(change) ? versions.get(change.id) : undefined));
      },
    });
  }

  const moves = batcher(false);
  const replacements = batcher(true);
  return {
    change: (change) =>
      change.content === null
        ? moves.add(change)
        : replacements.add({ ...change, content: sealContent(change, change.content, box) }),
  };
}

/** Also what is under an older key: a rotation that has passed by would not see it again. */
function sealContent(
  { projectId, id }: TimerChange,
  content: TimerContent,
  box: SecretBox | undefined,
): TimerContent {
  const { request } = content;
  const headers = sealHeaders(request.headers, { projectId, id }, box);
  return headers === request.headers ? content : { ...content, request: { ...request, headers } };
}

function placesOf(changes: readonly TimerChange[]): unknown[] {
  const dues = changes.map(({ due }) => (due === 'fire' ? null : due));
  return [
    numberArray(changes.map(({ id }) => id)),
    numberArray(changes.map(({ projectId }) => projectId)),
    numberArray(changes.map(({ fence }) => fence?.owner ?? null)),
    numberArray(changes.map(({ fence }) => fence?.claim ?? null)),
    numberArray(changes.map(({ version }) => version)),
    numberArray(dues.map((due) => (due?.kind === 'after' ? due.delayMs : null))),
    numberArray(dues.map((due) => (due?.kind === 'at' ? due.dueAtMs : null))),
    booleanArray(changes.map(({ due }) => due === 'fire')),
    booleanArray(changes.map(({ startsAnew }) => startsAnew)),
    textArray(changes.map(({ key }) => key)),
  ];
}

function contentsOf(changes: readonly TimerChange[]): string[] {
  const contents = changes.flatMap(({ content }) => (content === null ? [] : [content]));
  return contentColumns.map(({ encode }) => encode(contents));
}

/**
 * Of two changes of one timer, one statement would make one: the later is refused, and its caller,
 * who looks again, tries anew.
 */
function firstOfEachTimer(changes: readonly TimerChange[]): TimerChange[] {
  const seen = new Set<TimerId>();
  return changes.filter(({ id }) => {
    const isFirst = !seen.has(id);
    seen.add(id);
    return isFirst;
  });
}
