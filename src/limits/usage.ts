import type { ProjectLimits } from '../core/limits.ts';
import type { Ledger } from '../core/quotaLedger.ts';

/** What is known of projects; see store/limits and store/quotaLedgers. */
export interface UsageStore {
  limits(projectId: number): Promise<ProjectLimits | undefined>;
  ledger(projectId: number): Promise<{ ledger: Ledger; nowMs: number } | undefined>;
  countLive(projectId: number): Promise<number>;
}

/** What a project uses, beside what it may. */
export interface Usage {
  readonly limits: ProjectLimits;
  readonly liveTimers: number;
  /** Null: nobody counts them, for there is no such quota. */
  readonly createdToday: number | null;
}

interface Count {
  readonly count: Promise<number>;
  staleAtMs: number;
}

const dayMs = 86_400_000;
const freshMs = 1_000;
/** Counting takes no more than a twentieth of the time, however often it is asked for. */
const countShare = 20;
const countsMax = 1_000;

/**
 * Live timers are told by the ledger where one is kept, as far as reported; otherwise they are counted,
 * which a project pays for with figures that are the older the more timers it has.
 */
export function createUsage(options: { store: UsageStore; clock: { monotonicMs(): number } }) {
  const { store, clock } = options;
  const counts = new Map<number, Count>();

  function countOf(projectId: number): Promise<number> {
    const known = counts.get(projectId);
    const startMs = clock.monotonicMs();
    if (known !== undefined && startMs < known.staleAtMs) return known.count;
    const entry: Count = { count: store.countLive(projectId), staleAtMs: Infinity };
    counts.delete(projectId);
    counts.set(projectId, entry);
    if (counts.size > countsMax) counts.delete(counts.keys().next().value ?? 0);
    entry.count.then(
      () => {
        const nowMs = clock.monotonicMs();
        entry.staleAtMs = nowMs + Math.max(freshMs, countShare * (nowMs - startMs));
      },
      () => {
        entry.staleAtMs = -Infinity;
      },
    );
    return entry.count;
  }

  /** Undefined when there is no such project. */
  return async function read(projectId: number): Promise<Usage | undefined> {
    const limits = await store.limits(projectId);
    if (limits === undefined) return undefined;
    const { liveTimers, createsPerDay } = limits;
    const isKept = liveTimers !== undefined || createsPerDay !== undefined;
    const kept = isKept ? await store.ledger(projectId) : undefined;
    const today = Math.floor((kept?.nowMs ?? 0) / dayMs);
    const created = kept?.ledger.day === today ? kept.ledger.created : 0;
    const live = liveTimers === undefined ? null : (kept?.ledger.live ?? null);
    return {
      limits,
      liveTimers: live ?? (await countOf(projectId)),
      createdToday: createsPerDay === undefined ? null : created,
    };
  };
}
