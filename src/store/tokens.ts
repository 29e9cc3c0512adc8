import type { Actor } from '../core/audit.ts';
import type { ProjectLimits, Rate } from '../core/limits.ts';
import type { Scope } from '../core/principal.ts';
import { auditOf, auditValues } from './auditLog.ts';
import type { Database } from './database.ts';

/** A token as it is kept. Instants in milliseconds of the Unix epoch. */
export interface StoredToken {
  readonly id: string;
  readonly projectId: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
  readonly revokedAtMs: number | null;
  readonly lastUsedAtMs: number | null;
  readonly rate: Rate | null;
}

export interface NewStoredToken {
  readonly id: string;
  readonly projectId: number;
  readonly name: string;
  readonly secretHash: Buffer;
  readonly scopes: readonly Scope[];
  readonly expiresAfterMs: number | null;
  readonly rate: Rate | null;
}

/** What tells whether somebody who shows a token is let in. */
export interface TokenProof {
  readonly secretHash: Buffer;
  readonly projectId: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Until it ends, by the database's clock; null: it does not. Negative: it has ended. */
  readonly endsInMs: number | null;
  /** Of its project. */
  readonly limits: ProjectLimits | null;
  readonly rate: Rate | null;
}

type TokenRow = readonly [
  id: string,
  projectId: number,
  name: string,
  scopes: Scope[],
  createdAtMs: number,
  expiresAtMs: number | null,
  revokedAtMs: number | null,
  lastUsedAtMs: number | null,
  rate: Rate | null,
];

const columns =
  't.id, t.project_id, t.name, t.scopes, t.created_at, t.expires_at, t.revoked_at, t.last_used_at, t.rate';

// Each by tokens_pkey (and projects_pkey), but for the list: tokens_project_id.
const proveToken = {
  name: 'prove_token',
  text: `
SELECT t.secret_hash, t.project_id, t.name, t.scopes,
  (extract(epoch FROM least(t.expires_at, t.revoked_at) - clock_timestamp()) * 1000)::float8,
  p.limits, t.rate
FROM belfry.tokens t JOIN belfry.projects p ON p.id = t.project_id WHERE t.id = $1`,
};

const insertToken = {
  name: 'insert_token',
  text: `
WITH t AS (
  INSERT INTO belfry.tokens (id, project_id, name, secret_hash, scopes, expires_at, rate)
  SELECT $1, p.id, $3, $4, $5::text[], clock_timestamp() + $6::float8 * interval '1 millisecond',
    $7::jsonb
  FROM belfry.projects p WHERE p.id = $2::bigint
  RETURNING *
), ${auditOf('t', 8, { projectId: 't.project_id', target: 't.id' })}
SELECT ${columns} FROM t`,
};

const listTokens = {
  name: 'list_tokens',
  text: `
SELECT ${columns} FROM belfry.tokens t WHERE t.project_id = $1::bigint ORDER BY t.created_at, t.id`,
};

const readToken = {
  name: 'read_token',
  text: `
SELECT ${columns} FROM belfry.tokens t WHERE t.id = $1`,
};

// Again: the first revocation stays the one.
const endToken = {
  name: 'end_token',
  text: `
WITH ended AS (
UPDATE belfry.tokens t SET
  revoked_at = CASE WHEN $2::float8 = 0 THEN coalesce(t.revoked_at, clock_timestamp())
    ELSE t.revoked_at END,
  expires_at = CASE WHEN $2::float8 = 0 THEN t.expires_at
    ELSE least(t.expires_at, clock_timestamp() + $2::float8 * interval '1 millisecond') END
WHERE t.id = $1
RETURNING t.*
), ${auditOf('ended', 3, { projectId: 'ended.project_id', target: 'ended.id' })}
SELECT ${columns} FROM ended t`,
};

const setRate = {
  name: 'set_token_rate',
  text: `
WITH changed AS (
  UPDATE belfry.tokens t SET rate = $2::jsonb WHERE t.id = $1 RETURNING t.*
), ${auditOf('changed', 3, { projectId: 'changed.project_id', target: 'changed.id' })}
SELECT ${columns} FROM changed t`,
};

const markUsed = {
  name: 'mark_tokens_used',
  text: `
UPDATE belfry.tokens t SET last_used_at = greatest(t.last_used_at, clock_timestamp())
FROM unnest($1::text[]) AS i(id) WHERE t.id = i.id`,
};

export function createTokenStore(database: Database) {
  return {
    async prove(id: string): Promise<TokenProof | undefined> {
      const [row] = await database.query<
        [
          Buffer,
          number,
          string,
          Scope[],
          endsInMs: number | null,
          ProjectLimits | null,
          Rate | null,
        ]
      >(proveToken, [id]);
      if (row === undefined) return undefined;
      const [secretHash, projectId, name, scopes, endsInMs, limits, rate] = row;
      return { secretHash, projectId, name, scopes, endsInMs, limits, rate };
    },
    /** Undefined when there is no such project. */
    async add(token: NewStoredToken, actor: Actor): Promise<StoredToken | undefined> {
      const { id, projectId, name, secretHash, scopes, expiresAfterMs, rate } = token;
      const detail = { name, scopes, ...(rate === null ? {} : { rate }) };
      const rateText = rate === null ? null : JSON.stringify(rate);
      const values = [id, projectId, name, secretHash, scopes, expiresAfterMs, rateText];
      return first(
        await database.query<TokenRow>(insertToken, [
          ...values,
          ...auditValues(actor, { action: 'token.create', detail }),
        ]),
      );
    },
    async list(projectId: number): Promise<StoredToken[]> {
      const rows = await database.inProject(projectId).query<TokenRow>(listTokens, [projectId]);
      return rows.map(tokenOf);
    },
    /** Of one project, or (null) of whichever. */
    async read(projectId: number | null, id: string): Promise<StoredToken | undefined> {
      const asked = projectId === null ? database : database.inProject(projectId);
      return first(await asked.query<TokenRow>(readToken, [id]));
    },
    /** Ends it now, for good; with `afterMs` then, unless it ends before. */
    async end(id: string, actor: Actor, afterMs = 0): Promise<StoredToken | undefined> {
      const deed =
        afterMs === 0
          ? ({ action: 'token.revoke', detail: {} } as const)
          : ({ action: 'token.rotate', detail: { overlap: afterMs / 1_000 } } as const);
      const values = [id, afterMs, ...auditValues(actor, deed)];
      return first(await database.query<TokenRow>(endToken, values));
    },
    async setRate(id: string, rate: Rate | null, actor: Actor): Promise<StoredToken | undefined> {
      const text = rate === null ? null : JSON.stringify(rate);
      const deed = auditValues(actor, { action: 'limits.set', detail: { rate } });
      return first(await database.query<TokenRow>(setRate, [id, text, ...deed]));
    },
    async markUsed(ids: readonly string[]): Promise<void> {
      await database.query(markUsed, [ids]);
    },
  };
}

export type TokenStore = ReturnType<typeof createTokenStore>;

function first(rows: readonly TokenRow[]): StoredToken | undefined {
  const [row] = rows;
  return row === undefined ? undefined : tokenOf(row);
}

function tokenOf(row: TokenRow): StoredToken {
  const [id, projectId, name, scopes, createdAtMs, expiresAtMs, revokedAtMs, lastUsedAtMs, rate] =
    row;
  const instants = { createdAtMs, expiresAtMs, revokedAtMs, lastUsedAtMs };
  return { id, projectId, name, scopes, rate, ...instants };
}
