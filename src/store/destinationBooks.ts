import { rateSpans, type DestinationRate, type SendingSettings } from '../core/destination.ts';
import type { SecretBox } from '../core/secretBox.ts';
import type { TimerHeaders } from '../core/secretHeaders.ts';
import { TlsIdentity, type TlsParts } from '../core/tlsIdentity.ts';
import type { Database } from './database.ts';
import { tlsPlace } from './destinations.ts';

/** All settings of a project, as of a revision; none when they were deleted. */
export interface ProjectPage {
  readonly projectId: number;
  readonly revision: number;
  readonly settings: readonly SendingSettings[];
}

type PageRow = readonly [
  projectId: number,
  revision: number,
  id: number | null,
  pattern: string,
  version: number,
  concurrencyMax: number | null,
  rateCount: number | null,
  ratePer: DestinationRate['per'] | null,
  timeoutMs: number | null,
  headers: TimerHeaders | null,
  hasTls: boolean,
  isPaused: boolean,
];

/** Of 200 rows with 8 KiB of headers at most each. */
const projectsAtOnce = 20;

// By destination_books_revision and destinations_pattern: 0.03 ms when nothing has changed, whoever has how many.
const changedPages = {
  name: 'changed_destinations',
  text: `
SELECT b.project_id, b.revision, d.id, d.pattern, d.version, d.concurrency_max, d.rate_count,
  d.rate_per, d.timeout_ms, d.headers, d.tls IS NOT NULL, d.is_paused
FROM (
  SELECT project_id, revision FROM belfry.destination_books WHERE revision > $1::bigint
  ORDER BY revision LIMIT ${projectsAtOnce}
) AS b LEFT JOIN belfry.destinations d ON d.project_id = b.project_id ORDER BY b.revision`,
};

const readTls = {
  name: 'read_destination_tls',
  text: `
SELECT pattern, version, tls FROM belfry.destinations WHERE id = $1::bigint AND project_id = $2::bigint`,
};

/** What processes that fire know of destinations. */
export function createDestinationBookStore(database: Database, box: SecretBox | undefined) {
  return {
    /** Those of projects that have changed after a revision, by revision; more may follow these. */
    async changedAfter(revision: number): Promise<readonly ProjectPage[]> {
      const rows = await database.query<PageRow>(changedPages, [revision]);
      const pages = new Map<number, ProjectPage & { settings: SendingSettings[] }>();
      for (const row of rows) {
        const [projectId, ofRevision] = row;
        const page = pages.get(projectId) ?? { projectId, revision: ofRevision, settings: [] };
        pages.set(projectId, page);
        const settings = settingsOf(row);
        if (settings !== undefined) page.settings.push(settings);
      }
      return [...pages.values()];
    },
    /**
     * As whom connections are made, by settings as they are now. Undefined when there is nothing of the
     * kind any more, null when it cannot be decrypted.
     */
    async tlsIdentity({
      id,
      projectId,
    }: Pick<SendingSettings, 'id' | 'projectId'>): Promise<TlsIdentity | null | undefined> {
      const [row] = await database.query<[string, number, string | null]>(readTls, [id, projectId]);
      if (row === undefined || row[2] === null) return undefined;
      const [pattern, version, record] = row;
      const text = box?.open(tlsPlace(projectId, pattern), record);
      if (text === undefined) return null;
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by createDestinationStore, and authentic
      return new TlsIdentity(`${id}.${version}`, JSON.parse(text) as TlsParts);
    },
  };
}

function settingsOf(row: PageRow): SendingSettings | undefined {
  const [projectId, , id, pattern, version, concurrencyMax, count, per, timeoutMs] = row;
  if (id === null) return undefined;
  return {
    id,
    projectId,
    pattern,
    version,
    concurrencyMax,
    ratePerSecond: count === null || per === null ? null : count / rateSpans[per],
    timeoutMs,
    headers: row[9],
    hasTls: row[10],
    isPaused: row[11],
  };
}
