import { secretHeaderNames, resealHeaders, type TimerHeaders } from '../core/secretHeaders.ts';
import type { SecretBox, SecretPlace } from '../core/secretBox.ts';
import type { RotationPlace, RotationStep } from '../core/secretRotation.ts';
import { signingKeyPlace } from '../core/signingKey.ts';
import { numberArray, textArray } from './arrayLiteral.ts';
import type { Database, Statement } from './database.ts';
import type { NearTimers } from './insertTimers.ts';
import { rotateDestinations } from './rotateDestinations.ts';
import { secretPlace } from './secrets.ts';

/** Rows that one statement looks through. */
const examinedMax = 1_000;

// $1 is the first key. What is not under it, and what is not encrypted although it is secret.
const isStale = `EXISTS (SELECT FROM jsonb_each(x.headers) AS h(name, value)
    WHERE CASE WHEN jsonb_typeof(h.value) = 'object'
      THEN split_part(h.value ->> 'sealed', '.', 2) <> $1
      ELSE h.name = ANY ('{${secretHeaderNames.join(',')}}'::text[]) END)`;

// By secrets_pkey and signing_keys_pkey.
const secretBoxes = boxStatements('secrets', 'name');
const signingKeyBoxes = boxStatements('signing_keys', 'id');

function boxStatements(table: string, name: string) {
  return {
    stale: {
      name: `stale_${table}`,
      text: `
SELECT x.project_id, x.name, x.box, split_part(x.box, '.', 2) <> $1 FROM (
  SELECT project_id, ${name} AS name, box FROM belfry.${table}
  WHERE (project_id, ${name}) > ($2::bigint, $3::text)
  ORDER BY project_id, ${name} LIMIT $4::integer
) AS x ORDER BY x.project_id, x.name`,
    },
    replace: {
      name: `replace_${table}`,
      text: `
UPDATE belfry.${table} s SET box = i.box
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS i(project_id, name, old_box, box)
WHERE s.project_id = i.project_id AND s.${name} = i.name AND s.box = i.old_box
RETURNING 1`,
    },
  };
}

// By timers_pkey, and by history_project_id merged over the partitions: 6 ms for 1,000 live timers with
// two headers each, 9 ms for 1,000 finished ones of 400,000 over 30 days; encrypting anew adds 0.2 ms a
// row. The last row looked at comes in any case: it is where to go on.
const staleTimers = staleStatement(
  'timers',
  `SELECT project_id, id, headers FROM belfry.timers
  WHERE id > $3::bigint AND $2::bigint IS NOT NULL ORDER BY id LIMIT $4::integer`,
  'id',
);
const staleHistory = staleStatement(
  'history',
  `SELECT project_id, id, headers FROM belfry.history
  WHERE (project_id, id) > ($2::bigint, $3::bigint) ORDER BY project_id, id LIMIT $4::integer`,
  'project_id, id',
);

function staleStatement(table: string, source: string, order: string): Statement {
  const text = `
SELECT x.project_id, x.id, x.headers, x.stale, x.place FROM (
  SELECT x.*, x.headers IS NOT NULL AND ${isStale} AS stale,
    row_number() OVER w AS place, lead(x.id) OVER w IS NULL AS is_last
  FROM (${source}) AS x WINDOW w AS (ORDER BY ${order})
) AS x WHERE x.stale OR x.is_last ORDER BY ${order.replaceAll(/(\w+)/g, 'x.$1')}`;
  return { name: `stale_${table}`, text };
}

// Guarded by the headers as they were: a change that came between wins, and has the first key anyway.
const replaceStatement = (table: string, next: string) => ({
  name: `replace_${table}_headers`,
  text: `
UPDATE belfry.${table} t SET headers = i.headers
FROM unnest($1::bigint[], $2::bigint[], $3::jsonb[], $4::jsonb[])
  AS i(project_id, id, old_headers, headers)
WHERE t.id = i.id AND t.project_id = i.project_id AND t.headers = i.old_headers
RETURNING ${next}, round(date_part('epoch', statement_timestamp()) * 1000)::bigint`,
});
const replaceTimers = replaceStatement(
  'timers',
  "round(date_part('epoch', t.next_at) * 1000)::bigint",
);
const replaceHistory = replaceStatement('history', '0::bigint');

type StaleRow = readonly [
  projectId: number,
  id: number,
  headers: TimerHeaders | null,
  isStale: boolean,
  place: number,
];

/** Puts everything that is encrypted under the first key, and what should be encrypted as well. */
export function createSecretRotation(options: {
  database: Database;
  /** Its connections have `listSettings`: walks go by the indexes. */
  walkDatabase: Database;
  box: SecretBox;
  near?: Pick<NearTimers, 'committed'>;
}) {
  const { database, walkDatabase, box, near } = options;

  async function boxesFrom(
    { stale: find, replace }: ReturnType<typeof boxStatements>,
    placeOf: (projectId: number, name: string) => SecretPlace,
    { projectId, row }: RotationPlace,
  ): Promise<RotationStep> {
    const rows = await database.query<[number, string, string, boolean]>(find, [
      box.keyId,
      projectId,
      row,
      examinedMax,
    ]);
    const resealed = rows.flatMap(([project, name, record, stale]) => {
      const place = placeOf(project, name);
      const value = stale ? box.open(place, record) : undefined;
      return value === undefined ? [] : [{ project, name, record, box: box.seal(place, value) }];
    });
    const written =
      resealed.length === 0
        ? []
        : await database.query(replace, [
            numberArray(resealed.map(({ project }) => project)),
            textArray(resealed.map(({ name }) => name)),
            textArray(resealed.map(({ record }) => record)),
            textArray(resealed.map((secret) => secret.box)),
          ]);
    const last = rows.at(-1);
    const stale = rows.filter(([, , , is]) => is).length;
    return {
      examined: rows.length,
      changed: written.length,
      left: stale - written.length,
      next:
        last === undefined || rows.length < examinedMax
          ? null
          : { projectId: last[0], row: last[1] },
    };
  }

  async function headersFrom(
    table: 'timers' | 'history',
    { projectId, row }: RotationPlace,
  ): Promise<RotationStep> {
    const isHot = table === 'timers';
    const rows = await walkDatabase.query<StaleRow>(isHot ? staleTimers : staleHistory, [
      box.keyId,
      projectId,
      Number(row),
      examinedMax,
    ]);
    const stale = rows.filter(([, , , is]) => is);
    const resealed = stale.flatMap(([project, id, old]) => {
      const headers =
        old === null ? undefined : resealHeaders(old, { projectId: project, id }, box);
      return headers === undefined ? [] : [{ project, id, old, headers }];
    });
    let written: [number, number][] = [];
    if (resealed.length > 0) {
      const sorted = resealed.toSorted((a, b) => a.id - b.id);
      written = await database.query<[number, number]>(isHot ? replaceTimers : replaceHistory, [
        numberArray(sorted.map(({ project }) => project)),
        numberArray(sorted.map(({ id }) => id)),
        textArray(sorted.map(({ old }) => JSON.stringify(old))),
        textArray(sorted.map(({ headers }) => JSON.stringify(headers))),
      ]);
    }
    // A claim that met these rows as they were being written has passed by: it has to look again.
    const nearestAtMs = Math.min(...written.map(([nextAtMs]) => nextAtMs));
    if (isHot && written.length > 0)
      near?.committed(nearestAtMs, nearestAtMs - (written[0]?.[1] ?? 0));
    const last = rows.at(-1);
    const examined = last?.[4] ?? 0;
    return {
      examined,
      changed: written.length,
      left: stale.length - written.length,
      next:
        last === undefined || examined < examinedMax
          ? null
          : { projectId: last[0], row: String(last[1]) },
    };
  }

  /** One bounded step each, and where the next begins; `left`: what is as it was. */
  return {
    secrets: (place: RotationPlace) => boxesFrom(secretBoxes, secretPlace, place),
    signingKeys: (place: RotationPlace) => boxesFrom(signingKeyBoxes, signingKeyPlace, place),
    timers: (place: RotationPlace) => headersFrom('timers', place),
    history: (place: RotationPlace) => headersFrom('history', place),
    destinations: (place: RotationPlace) => rotateDestinations(database, box, place),
  };
}
