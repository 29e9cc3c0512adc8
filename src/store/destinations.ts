import type pg from 'pg';
import type { Actor } from '../core/audit.ts';
import {
  destinationsMax,
  type Destination,
  type DestinationRate,
  type DestinationResult,
  type DestinationWish,
} from '../core/destination.ts';
import type { SecretBox, SecretPlace } from '../core/secretBox.ts';
import { sealHeaders, type TimerHeaders } from '../core/secretHeaders.ts';
import type { ShownTls } from '../core/tlsIdentity.ts';
import { auditOf, auditValues } from './auditLog.ts';
import type { Database, Statement } from './database.ts';

export type DestinationRow = readonly [
  id: number,
  projectId: number,
  pattern: string,
  version: number,
  concurrencyMax: number | null,
  rateCount: number | null,
  ratePer: DestinationRate['per'] | null,
  timeoutMs: number | null,
  headers: TimerHeaders | null,
  tls: ShownTls | null,
  isPaused: boolean,
  createdAtMs: number,
  changedAtMs: number,
];

export const destinationColumns = `d.id, d.project_id, d.pattern, d.version, d.concurrency_max,
  d.rate_count, d.rate_per, d.timeout_ms, d.headers, d.tls_about, d.is_paused, d.created_at, d.changed_at`;

// Each by destinations_pattern.
const listDestinations = {
  name: 'list_destinations',
  text: `
SELECT ${destinationColumns} FROM belfry.destinations d
WHERE d.project_id = $1::bigint ORDER BY d.pattern`,
};
const readDestination = {
  name: 'read_destination',
  text: `
SELECT ${destinationColumns} FROM belfry.destinations d
WHERE d.project_id = $1::bigint AND d.pattern = $2`,
};

// Changes of a project come one after the other: a `[secret]` stands for the value that is there, and
// the count is exact. What is changed while nobody else's change is under way has the next revision.
const lockBook = `
INSERT INTO belfry.destination_books AS b (project_id, revision) VALUES ($1::bigint, 0)
ON CONFLICT (project_id) DO UPDATE SET revision = b.revision`;
const lockedDestination = `
SELECT ${destinationColumns}, (SELECT count(*) FROM belfry.destinations o WHERE o.project_id = $1::bigint)
FROM (SELECT) AS one LEFT JOIN belfry.destinations d ON d.project_id = $1::bigint AND d.pattern = $2`;

/** Of rows of `d`, as they are in the end; three parameters of the audit from `place` on. */
const told = (place: number) => `revised AS (
  UPDATE belfry.destination_revision SET revision = revision + 1
  WHERE EXISTS (SELECT FROM d) RETURNING revision
), turned AS (
  UPDATE belfry.destination_books b SET revision = revised.revision
  FROM revised, d WHERE b.project_id = d.project_id
), ${auditOf('d', place, { projectId: 'd.project_id', target: 'd.pattern' })}
SELECT ${destinationColumns} FROM d`;

const changed = 'version = d.version + 1, changed_at = clock_timestamp()';
const putDestination = `
WITH d AS (
  INSERT INTO belfry.destinations AS d (project_id, pattern, concurrency_max, rate_count, rate_per,
    timeout_ms, headers, tls, tls_about)
  VALUES ($1::bigint, $2, $3, $4, $5, $6, $7::jsonb, $8, $9::jsonb)
  ON CONFLICT (project_id, pattern) DO UPDATE SET concurrency_max = excluded.concurrency_max,
    rate_count = excluded.rate_count, rate_per = excluded.rate_per, timeout_ms = excluded.timeout_ms,
    headers = excluded.headers,
    tls = CASE WHEN $10 THEN excluded.tls ELSE d.tls END,
    tls_about = CASE WHEN $10 THEN excluded.tls_about ELSE d.tls_about END, ${changed}
  RETURNING d.*
), ${told(11)}`;
const deleteDestination = `
WITH d AS (
  DELETE FROM belfry.destinations d WHERE d.project_id = $1::bigint AND d.pattern = $2 RETURNING d.*
), ${told(3)}`;
// Of one that is so already nothing changes, and nothing is recorded.
const holdDestination = `
WITH d AS (
  UPDATE belfry.destinations d SET is_paused = $3, ${changed}
  WHERE d.project_id = $1::bigint AND d.pattern = $2 AND d.is_paused <> $3 RETURNING d.*
), ${told(4)}`;

/** Settings of destinations. Without a box none with secrets can be set. */
export function createDestinationStore(database: Database, box: SecretBox | undefined) {
  /** One change of a project's, with what was there before; its last statement says what it became. */
  function change<Result>(
    projectId: number,
    pattern: string,
    decide: (
      before: Destination | undefined,
      count: number,
      write: (text: string, values: readonly unknown[]) => Promise<Destination | undefined>,
    ) => Promise<Result>,
  ): Promise<Result> {
    return database.session(async (client) => {
      await client.query('BEGIN');
      await client.query(lockBook, [projectId]);
      const [found] = await rowsOf<readonly [...DestinationRow, number]>(
        client,
        lockedDestination,
        [projectId, pattern],
      );
      const before = found === undefined || found[0] === null ? undefined : destinationOf(found);
      const result = await decide(before, Number(found?.at(-1)), async (text, values) => {
        const [row] = await rowsOf<DestinationRow>(client, text, [projectId, pattern, ...values]);
        return row === undefined ? undefined : destinationOf(row);
      });
      await client.query('COMMIT');
      return result;
    });
  }

  async function read(projectId: number, pattern: string): Promise<Destination | undefined> {
    const asked = database.inProject(projectId);
    const [row] = await asked.query<DestinationRow>(readDestination, [projectId, pattern]);
    return row === undefined ? undefined : destinationOf(row);
  }

  async function hold(projectId: number, pattern: string, isPaused: boolean, actor: Actor) {
    const action = isPaused ? 'destination.pause' : 'destination.resume';
    const audit = auditValues(actor, { action, detail: {} });
    return change(
      projectId,
      pattern,
      async (before, _count, write) =>
        (await write(holdDestination, [isPaused, ...audit])) ?? before,
    );
  }

  return {
    async list(projectId: number): Promise<readonly Destination[]> {
      const asked = database.inProject(projectId);
      return (await asked.query<DestinationRow>(listDestinations, [projectId])).map(destinationOf);
    },
    read,
    /**
     * Sets what `edit` makes of what is there; undefined for nothing, of which it may make settings too.
     * @throws whatever `edit` throws: nothing is changed then.
     */
    async set(
      { projectId, pattern, edit, detail }: DestinationWish,
      actor: Actor,
    ): Promise<DestinationResult> {
      return change(
        projectId,
        pattern,
        async (before, count, write): Promise<DestinationResult> => {
          const wanted = edit(before);
          if (wanted === undefined) return { kind: 'not_found' };
          if (before === undefined && count >= destinationsMax) return { kind: 'too_many' };
          const { content, tls } = wanted;
          const { concurrencyMax, rate, timeoutMs } = content;
          const headers = sealHeaders(content.headers, { projectId, pattern }, box);
          const destination = await write(putDestination, [
            concurrencyMax,
            rate?.count ?? null,
            rate?.per ?? null,
            timeoutMs,
            headers === null ? null : JSON.stringify(headers),
            tls === undefined || tls === null
              ? null
              : sealed(box, tlsPlace(projectId, pattern), JSON.stringify(tls.identity.reveal())),
            tls === undefined || tls === null ? null : JSON.stringify(tls.shown),
            tls !== undefined,
            ...auditValues(actor, { action: 'destination.set', detail }),
          ]);
          if (destination === undefined) throw new Error('settings were put and no row came back');
          return { kind: 'set', destination, isNew: before === undefined };
        },
      );
    },
    /** Undefined when there are none; `mayDelete` throws where they may not go. */
    async delete(
      projectId: number,
      pattern: string,
      mayDelete: (before: Destination) => void,
      actor: Actor,
    ): Promise<Destination | undefined> {
      const audit = auditValues(actor, { action: 'destination.delete', detail: {} });
      return change(projectId, pattern, async (before, _count, write) => {
        if (before === undefined) return undefined;
        mayDelete(before);
        return write(deleteDestination, audit);
      });
    },
    /** Undefined when there are none. */
    pause: (projectId: number, pattern: string, actor: Actor) =>
      hold(projectId, pattern, true, actor),
    resume: (projectId: number, pattern: string, actor: Actor) =>
      hold(projectId, pattern, false, actor),
  };
}

export type DestinationStore = ReturnType<typeof createDestinationStore>;

/** What the record of client certificate, key and authorities is bound to. */
export function tlsPlace(projectId: number, pattern: string): SecretPlace {
  return { purpose: 'destination_tls', projectId, row: [pattern] };
}

function sealed(box: SecretBox | undefined, place: SecretPlace, text: string): string {
  if (box === undefined) throw new Error('there is no key for the TLS of destinations');
  return box.seal(place, text);
}

async function rowsOf<Row extends readonly unknown[]>(
  client: pg.ClientBase,
  text: Statement['text'],
  values: readonly unknown[],
): Promise<Row[]> {
  const { rows } = await client.query<Row & unknown[]>({
    text,
    values: [...values],
    rowMode: 'array',
  });
  return rows;
}

function destinationOf(row: DestinationRow | readonly [...DestinationRow, number]): Destination {
  const [id, projectId, pattern, version, concurrencyMax, count, per, timeoutMs] = row;
  return {
    id,
    projectId,
    pattern,
    version,
    concurrencyMax,
    rate: count === null || per === null ? null : { count, per },
    timeoutMs,
    headers: row[8],
    tls: row[9],
    isPaused: row[10],
    createdAtMs: row[11],
    changedAtMs: row[12],
  };
}
