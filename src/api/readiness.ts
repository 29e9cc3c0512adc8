import type { Readiness } from './schemas/operations.ts';

type Check = { ok: boolean; detail?: string };

/** What `GET /ready` asks about. */
export interface ReadinessSources {
  /** Whether the schema is what this code expects; rejects when the store cannot be reached. */
  schemaState(): Promise<{ current: boolean; applied: number; expected: number }>;
  /** Absent where this process runs no scheduler. */
  readonly scheduler: { heartbeatAgeMs(): number; loopAgeMs(): number } | undefined;
  readonly heartbeatTtlMs: number;
  /** Whether notifications arrive; undefined where there is no direct connection for them. */
  listening(): boolean | undefined;
}

const answerWithinMs = 2_000;
/** The longest pause of the claim loop after an error is 2 s, a statement may take its timeout. */
const loopAgeMaxMs = 15_000;

export function createReadiness(sources: ReadinessSources): () => Promise<Readiness> {
  const { scheduler, heartbeatTtlMs } = sources;
  return async () => {
    const checks: Record<string, Check> = await storeChecks(sources);
    if (scheduler !== undefined) {
      const ageMs = scheduler.heartbeatAgeMs();
      checks['heartbeat'] =
        ageMs < heartbeatTtlMs ? { ok: true } : { ok: false, detail: 'the heartbeat has lapsed' };
      checks['scheduler'] =
        scheduler.loopAgeMs() < loopAgeMaxMs
          ? { ok: true }
          : { ok: false, detail: 'the claim loop has not moved lately' };
    }
    const ready = Object.values(checks).every(({ ok }) => ok);
    return { ready, checks: { ...checks, wake_up: wakeUp(sources.listening()) } };
  };
}

async function storeChecks(sources: ReadinessSources): Promise<Record<string, Check>> {
  let timer: NodeJS.Timeout | undefined;
  try {
    const state = await Promise.race([
      sources.schemaState(),
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error('no answer within 2 s')), answerWithinMs);
      }),
    ]);
    const { current, applied, expected } = state;
    return {
      store: { ok: true },
      schema: current
        ? { ok: true }
        : { ok: false, detail: `is at ${applied}, this version needs ${expected}` },
    };
  } catch (err) {
    return { store: { ok: false, detail: err instanceof Error ? err.message : String(err) } };
  } finally {
    clearTimeout(timer);
  }
}

/** Never a reason not to be ready: without notifications, processes find out by polling. */
function wakeUp(listening: boolean | undefined): Check {
  if (listening === undefined) {
    return { ok: true, detail: 'polling about every second: DATABASE_DIRECT_URL is not set' };
  }
  return listening ? { ok: true } : { ok: true, detail: 'polling while the listener reconnects' };
}
