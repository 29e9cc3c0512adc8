import type { Actor } from '../core/audit.ts';
import type { SecretBox } from '../core/secretBox.ts';
import { everyDestination } from '../core/destinationPattern.ts';
import {
  signingKeyDestinationsMax,
  signingKeyPlace,
  signingKeysMax,
  type NewSigningKey,
} from '../core/signingKey.ts';
import type { SignatureScheme } from '../core/webhookSignature.ts';
import { auditOf, auditValues } from './auditLog.ts';
import { refusal, type Database } from './database.ts';

/** A signing key without its secret. Instants in milliseconds of the Unix epoch. */
export interface StoredSigningKey {
  readonly id: string;
  /** A pattern of destinations. */
  readonly destination: string;
  readonly scheme: SignatureScheme;
  /** What receivers verify with, of `v1a`; null of `v1`. */
  readonly publicText: string | null;
  readonly createdAtMs: number;
  /** When it stops signing; null: it does not. */
  readonly retiresAtMs: number | null;
}

type KeyRow = readonly [
  id: string,
  destination: string,
  scheme: SignatureScheme,
  publicText: string | null,
  createdAtMs: number,
  retiresAtMs: number | null,
];

const columns = 'k.id, k.destination, k.scheme, k.public_text, k.created_at, k.retires_at';
const isLive = '(k.retires_at IS NULL OR k.retires_at > clock_timestamp())';
const newestFirst = 'k.created_at DESC, k.id';

// Each by signing_keys_pkey or signing_keys_slot: a project has a thousand rows at most.
const freeSlot = (destination: string) => `free AS (
  SELECT s.slot FROM generate_series(1, ${signingKeysMax}) AS s(slot)
  WHERE NOT EXISTS (
    SELECT FROM belfry.signing_keys k
    WHERE k.project_id = $1::bigint AND k.destination = ${destination} AND k.slot = s.slot)
  ORDER BY s.slot LIMIT 1
)`;

// Two destinations that get their first key at once may both be taken as the last.
const isDestinationFree = `($6 = '${everyDestination}' OR EXISTS (
    SELECT FROM belfry.signing_keys k WHERE k.project_id = $1::bigint AND k.destination = $6)
  OR ${signingKeyDestinationsMax} > (SELECT count(DISTINCT k.destination) FROM belfry.signing_keys k
    WHERE k.project_id = $1::bigint AND k.destination <> '${everyDestination}'))`;

const forgetRetired = {
  name: 'forget_retired_signing_keys',
  text: `
DELETE FROM belfry.signing_keys k WHERE k.project_id = $1::bigint AND NOT ${isLive}`,
};

const insertKey = {
  name: 'insert_signing_key',
  text: `
WITH ${freeSlot('$6')}, made AS (
  INSERT INTO belfry.signing_keys (project_id, id, slot, scheme, box, public_text, destination)
  SELECT $1::bigint, $2, free.slot, $3, $4, $5, $6 FROM free WHERE ${isDestinationFree}
  RETURNING *
), ${auditOf('made', 7, { projectId: 'made.project_id', target: 'made.id' })}
SELECT ${columns} FROM made k`,
};

const rotateKey = {
  name: 'rotate_signing_key',
  text: `
WITH ${freeSlot('(SELECT o.destination FROM belfry.signing_keys o WHERE o.project_id = $1::bigint AND o.id = $6)')}, old AS (
  UPDATE belfry.signing_keys k
  SET retires_at = least(k.retires_at, clock_timestamp() + $7::float8 * interval '1 millisecond')
  FROM free WHERE k.project_id = $1::bigint AND k.id = $6 AND ${isLive}
  RETURNING k.project_id, k.id, k.destination, free.slot
), made AS (
  INSERT INTO belfry.signing_keys (project_id, id, slot, scheme, box, public_text, destination)
  SELECT old.project_id, $2, old.slot, $3, $4, $5, old.destination FROM old
  RETURNING *
), ${auditOf('old', 8, { projectId: 'old.project_id', target: 'old.id' })}
SELECT ${columns} FROM made k`,
};

const deleteKey = {
  name: 'delete_signing_key',
  text: `
WITH k AS (
  DELETE FROM belfry.signing_keys k WHERE k.project_id = $1::bigint AND k.id = $2 AND ${isLive}
  RETURNING k.*
), ${auditOf('k', 3, { projectId: 'k.project_id', target: 'k.id' })}
SELECT ${columns} FROM k`,
};

const listKeys = {
  name: 'list_signing_keys',
  text: `
SELECT ${columns} FROM belfry.signing_keys k
WHERE k.project_id = $1::bigint AND ${isLive} ORDER BY ${newestFirst}`,
};

// By signing_keys_slot: of 10,000 projects with a key each, 0.9 ms for one, 12 ms for 1,000.
const readRecords = {
  name: 'read_signing_keys',
  text: `
SELECT k.project_id, k.id, k.destination, k.box FROM belfry.signing_keys k
WHERE k.project_id = ANY ($1::bigint[]) AND ${isLive} ORDER BY k.project_id, ${newestFirst}`,
};

// By signing_keys_pkey, index only: what is deleted again or retired costs no more than a look.
const readProjects = {
  name: 'read_projects_with_signing_keys',
  text: `
SELECT DISTINCT k.project_id FROM belfry.signing_keys k ORDER BY k.project_id LIMIT $1::integer`,
};

const readPublished = {
  name: 'read_published_signing_keys',
  text: `
SELECT k.project_id, ${columns} FROM belfry.signing_keys k
WHERE k.project_id = ANY ($1::bigint[]) AND k.scheme = 'v1a' AND ${isLive}
ORDER BY k.project_id, ${newestFirst}`,
};

/** Two that take the same slot at once: the second looks again, the last time when all are taken. */
const triesMax = signingKeysMax + 1;
const uniqueViolation = '23505';

/** Signing keys of projects. Without a box none can be made, only listed and deleted. */
export function createSigningKeyStore(database: Database, box: SecretBox | undefined) {
  function valuesOf(projectId: number, key: NewSigningKey) {
    if (box === undefined) throw new Error('there is no key for secrets');
    const record = box.seal(signingKeyPlace(projectId, key.id), key.secret);
    return [projectId, key.id, key.scheme, record, key.publicText];
  }

  async function make(
    statement: typeof insertKey,
    values: readonly unknown[],
  ): Promise<StoredSigningKey | undefined> {
    await database.query(forgetRetired, [values[0]]);
    for (let tries = 1; ; tries++) {
      try {
        return first(await database.query<KeyRow>(statement, values));
      } catch (err) {
        if (tries === triesMax || refusal(err)?.code !== uniqueViolation) throw err;
      }
    }
  }

  return {
    /** Whether keys can be kept. */
    isConfigured: box !== undefined,
    /** Undefined when the destination has as many as it may, or the project. @throws Error without a box. */
    add(
      projectId: number,
      key: NewSigningKey,
      actor: Actor,
    ): Promise<StoredSigningKey | undefined> {
      const detail = { scheme: key.scheme, destination: key.destination };
      const audit = auditValues(actor, { action: 'signing_key.create', detail });
      return make(insertKey, [...valuesOf(projectId, key), key.destination, ...audit]);
    },
    /**
     * Another in place of `oldId`, of the same destination; `oldId` signs along for `overlapMs`.
     * Undefined when there is no such key, or the destination has as many as it may. @throws Error without a box.
     */
    rotate(
      projectId: number,
      { oldId, overlapMs, key }: { oldId: string; overlapMs: number; key: NewSigningKey },
      actor: Actor,
    ): Promise<StoredSigningKey | undefined> {
      const detail = { overlap: overlapMs / 1_000, next: key.id };
      const audit = auditValues(actor, { action: 'signing_key.rotate', detail });
      return make(rotateKey, [...valuesOf(projectId, key), oldId, overlapMs, ...audit]);
    },
    /** Those that sign, newest first. */
    async list(projectId: number): Promise<StoredSigningKey[]> {
      const rows = await database.inProject(projectId).query<KeyRow>(listKeys, [projectId]);
      return rows.map(keyOf);
    },
    /** Undefined when there is none of that id. */
    async delete(
      projectId: number,
      id: string,
      actor: Actor,
    ): Promise<StoredSigningKey | undefined> {
      const audit = auditValues(actor, { action: 'signing_key.delete', detail: {} });
      return first(await database.query<KeyRow>(deleteKey, [projectId, id, ...audit]));
    },
    /** Those that may have any; undefined for more than `max`. */
    async projects(max: number): Promise<ReadonlySet<number> | undefined> {
      const rows = await database.query<[number]>(readProjects, [max + 1]);
      return rows.length > max ? undefined : new Set(rows.map(([id]) => id));
    },
    /** The records of those that sign, newest first, by project; without projects that have none. */
    async records(projectIds: readonly number[]) {
      const rows = await database.query<[number, string, string, string]>(readRecords, [
        projectIds,
      ]);
      return byProject(rows, ([, id, destination, record]) => ({ id, destination, record }));
    },
    /** Those that sign and that anybody may know, by project; without projects that have none. */
    async published(projectIds: readonly number[]) {
      const rows = await database.query<[number, ...KeyRow]>(readPublished, [projectIds]);
      return byProject(rows, ([, ...row]) => keyOf(row));
    },
  };
}

function byProject<Row extends readonly [projectId: number, ...unknown[]], Item>(
  rows: readonly Row[],
  itemOf: (row: Row) => Item,
): Map<number, Item[]> {
  const items = new Map<number, Item[]>();
  for (const row of rows) items.set(row[0], [...(items.get(row[0]) ?? []), itemOf(row)]);
  return items;
}

function first(rows: readonly KeyRow[]): StoredSigningKey | undefined {
  const [row] = rows;
  return row === undefined ? undefined : keyOf(row);
}

function keyOf(row: KeyRow): StoredSigningKey {
  const [id, destination, scheme, publicText, createdAtMs, retiresAtMs] = row;
  return { id, destination, scheme, publicText, createdAtMs, retiresAtMs };
}
