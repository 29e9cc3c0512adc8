import { chainHash, firstHash, type Actor, type ChainedEntry, type Deed } from '../core/audit.ts';
import type { Database } from './database.ts';
import { numberArray } from './arrayLiteral.ts';

/**
 * Part of a statement that does something to rows of `deed`: they are told of in the log, in the same
 * commit. `place` is the number of the first of three parameters, see `auditValues`; `projectId` and
 * `target` are expressions over `deed`.
 */
export function auditOf(
  deed: string,
  place: number,
  { projectId, target }: { projectId: string; target: string },
): string {
  return `audited AS (
  INSERT INTO belfry.audit_log
    (project_id, actor_kind, actor_id, actor_name, address, action, target, detail)
  SELECT ${projectId}, a ->> 'kind', a ->> 'id', a ->> 'name', a ->> 'address',
    $${place + 1}, ${target}, $${place + 2}
  FROM ${deed}, (SELECT $${place}::jsonb AS a) AS actor
)`;
}

export function auditValues(actor: Actor, { action, detail }: Omit<Deed, 'target'>): string[] {
  return [JSON.stringify(actor), action, JSON.stringify(detail)];
}

const recordDeed = {
  name: 'record_deed',
  text: `
WITH deed AS (SELECT $1::bigint AS project_id, $2::text AS target),
${auditOf('deed', 3, { projectId: 'deed.project_id', target: 'deed.target' })}
SELECT 1`,
};

type EntryRow = readonly [
  id: number,
  atMs: number,
  projectId: number,
  kind: Actor['kind'],
  actorId: string,
  name: string,
  address: string,
  action: string,
  target: string,
  detail: string,
  seq: number | null,
  hash: string | null,
];

const columns = `id, at, project_id, actor_kind, actor_id, actor_name, address, action, target, detail,
  seq, encode(hash, 'hex')`;

// By audit_log_project_id, and by audit_log_pkey for those of all.
const listEntries = {
  name: 'list_audit_log',
  text: `
SELECT ${columns} FROM belfry.audit_log
WHERE project_id = $1::bigint AND id > $2::bigint ORDER BY id LIMIT $3::integer`,
};
const listAllEntries = {
  name: 'list_whole_audit_log',
  text: `
SELECT ${columns} FROM belfry.audit_log WHERE id > $1::bigint ORDER BY id LIMIT $2::integer`,
};
const listChain = {
  name: 'list_audit_chain',
  text: `
SELECT ${columns} FROM belfry.audit_log WHERE seq > $1::bigint ORDER BY seq LIMIT $2::integer`,
};

const chainEnd = {
  name: 'audit_chain_end',
  text: `
SELECT seq, encode(hash, 'hex') FROM belfry.audit_log WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1`,
};
// By audit_log_unchained.
const listUnchained = {
  name: 'list_unchained_audit_log',
  text: `
SELECT ${columns} FROM belfry.audit_log WHERE seq IS NULL ORDER BY id LIMIT $1::integer`,
};
// Two that chain at once would give one place twice: the second is refused as a whole.
const chainEntries = {
  name: 'chain_audit_log',
  text: `
UPDATE belfry.audit_log l SET seq = i.seq, hash = decode(i.hash, 'hex')
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS i(id, seq, hash)
WHERE l.id = i.id AND l.seq IS NULL`,
};

const chainedAtOnce = 1_000;

export function createAuditLog(database: Database) {
  return {
    async record(projectId: number, actor: Actor, { action, target, detail }: Deed): Promise<void> {
      const values = [projectId, target, ...auditValues(actor, { action, detail })];
      await database.query(recordDeed, values);
    },
    /** Of one project, or (null) of all: what was committed behind `afterId`, oldest first. */
    async list(projectId: number | null, afterId: number, limit: number): Promise<ChainedEntry[]> {
      const rows = await (projectId === null
        ? database.query<EntryRow>(listAllEntries, [afterId, limit])
        : database.inProject(projectId).query<EntryRow>(listEntries, [projectId, afterId, limit]));
      return rows.map(entryOf);
    },
    /** In the order of the chain. */
    async chain(afterSeq: number, limit: number): Promise<ChainedEntry[]> {
      return (await database.query<EntryRow>(listChain, [afterSeq, limit])).map(entryOf);
    },
    /** Gives all that have none their place. One process at a time, best: a second is refused. */
    async extendChain(mayGoOn: () => Promise<boolean>): Promise<void> {
      for (;;) {
        const [[seqBefore, hashBefore] = [0, firstHash] as const] =
          await database.query<[number, string]>(chainEnd);
        const rows = await database.query<EntryRow>(listUnchained, [chainedAtOnce]);
        let [seq, hash] = [seqBefore, hashBefore];
        const links = rows.map(entryOf).map((entry) => {
          seq += 1;
          hash = chainHash(hash, seq, entry);
          return { id: entry.id, seq, hash };
        });
        if (links.length > 0) {
          await database.query(chainEntries, [
            numberArray(links.map(({ id }) => id)),
            numberArray(links.map((link) => link.seq)),
            links.map((link) => link.hash),
          ]);
        }
        if (links.length < chainedAtOnce || !(await mayGoOn())) return;
      }
    },
  };
}

export type AuditLog = ReturnType<typeof createAuditLog>;

function entryOf(row: EntryRow): ChainedEntry {
  const [id, atMs, projectId, kind, actorId, name, address, action, target, detail, seq, hash] =
    row;
  const actor = { kind, id: actorId, name, address };
  return { id, atMs, projectId, actor, action, target, detail, seq, hash };
}
