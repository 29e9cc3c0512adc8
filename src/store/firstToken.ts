import type { Actor } from '../core/audit.ts';
import { firstProjectId } from '../core/principal.ts';
import { newToken } from '../core/token.ts';
import { auditOf, auditValues } from './auditLog.ts';
import type { Database } from './database.ts';

const byDatabase: Actor = { kind: 'database', id: '', name: 'belfry admin init', address: '' };

// Both or neither: an installation that counts as initialised has had its token.
const giveFirstToken = {
  name: 'give_first_token',
  text: `
WITH first AS (
  UPDATE belfry.installation SET initialised_at = clock_timestamp()
  WHERE initialised_at IS NULL OR $4::boolean RETURNING true
), ended AS (
  UPDATE belfry.tokens t SET revoked_at = clock_timestamp()
  FROM first WHERE 'operator' = ANY (t.scopes) AND t.revoked_at IS NULL
), ${auditOf('first', 5, { projectId: '$2::bigint', target: '$1' })}
INSERT INTO belfry.tokens (id, project_id, name, secret_hash, scopes)
SELECT $1, $2::bigint, 'operator', $3, ARRAY['operator'] FROM first RETURNING id`,
};

/**
 * Gives the operator's first token, once: undefined afterwards. With `isAgain` whenever it is called;
 * all operators' tokens before are revoked then.
 */
export async function firstToken(
  database: Database,
  isAgain: boolean,
): Promise<string | undefined> {
  const { id, secretHash, text } = newToken();
  const rows = await database.query(giveFirstToken, [
    id,
    firstProjectId,
    secretHash,
    isAgain,
    ...auditValues(byDatabase, { action: 'admin.init', detail: { again: isAgain } }),
  ]);
  return rows.length > 0 ? text : undefined;
}
