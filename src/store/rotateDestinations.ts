import { keyIdOf, type SecretBox } from '../core/secretBox.ts';
import { resealHeaders, type TimerHeaders } from '../core/secretHeaders.ts';
import type { RotationPlace, RotationStep } from '../core/secretRotation.ts';
import { numberArray, textArray } from './arrayLiteral.ts';
import type { Database } from './database.ts';
import { tlsPlace } from './destinations.ts';

/** With headers and certificates of up to 150 KB each. */
const examinedMax = 100;

// By destinations_pkey.
const nextDestinations = {
  name: 'next_destinations',
  text: `
SELECT id, project_id, pattern, version, headers, tls FROM belfry.destinations
WHERE id > $1::bigint ORDER BY id LIMIT ${examinedMax}`,
};

// Guarded by the version: a change that came between wins, and has the first key anyway.
const replaceDestinations = {
  name: 'replace_destinations',
  text: `
UPDATE belfry.destinations d SET headers = i.headers, tls = i.tls
FROM unnest($1::bigint[], $2::integer[], $3::jsonb[], $4::text[]) AS i(id, version, headers, tls)
WHERE d.id = i.id AND d.version = i.version
RETURNING 1`,
};

type Row = readonly [
  id: number,
  projectId: number,
  pattern: string,
  version: number,
  headers: TimerHeaders | null,
  tls: string | null,
];

/** Puts what is encrypted of destinations under the first key: one bounded step. */
export async function rotateDestinations(
  database: Database,
  box: SecretBox,
  from: RotationPlace,
): Promise<RotationStep> {
  const rows = await database.query<Row>(nextDestinations, [Number(from.row)]);
  let stale = 0;
  const resealed = rows.flatMap(([id, projectId, pattern, version, headers, tls]) => {
    const place = tlsPlace(projectId, pattern);
    const text = tls === null ? null : box.open(place, tls);
    const after = headers === null ? null : resealHeaders(headers, { projectId, pattern }, box);
    const isTlsStale = tls !== null && keyIdOf(tls) !== box.keyId;
    if (!isTlsStale && JSON.stringify(after) === JSON.stringify(headers)) return [];
    stale += 1;
    if (text === undefined || after === undefined) return [];
    const sealed = isTlsStale && text !== null ? box.seal(place, text) : tls;
    return [{ id, version, headers: after, tls: sealed }];
  });
  const written =
    resealed.length === 0
      ? []
      : await database.query(replaceDestinations, [
          numberArray(resealed.map(({ id }) => id)),
          numberArray(resealed.map(({ version }) => version)),
          textArray(
            resealed.map(({ headers }) => (headers === null ? null : JSON.stringify(headers))),
          ),
          textArray(resealed.map(({ tls }) => tls)),
        ]);
  const last = rows.at(-1);
  return {
    examined: rows.length,
    changed: written.length,
    left: stale - written.length,
    next:
      last === undefined || rows.length < examinedMax
        ? null
        : { projectId: 0, row: String(last[0]) },
  };
}
