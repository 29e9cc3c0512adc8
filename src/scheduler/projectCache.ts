import type { MachineClock } from '../core/clock.ts';

/** Something of each project, at most about a second old. */
export interface ProjectCache<Value> {
  /** Undefined: it has to be read. Where it is asked for all the time, that is never. */
  known(projectId: number): Value | undefined;
  /** However old it is; undefined: not kept. */
  last(projectId: number): { readonly value: Value; readonly ageMs: number } | undefined;
  /** What is known, or else read. Rejects when the store cannot be asked. */
  fresh(projectId: number): Promise<Value>;
  /** Reads it, whatever is known. */
  ask(projectId: number): Promise<void>;
}

interface Kept<Value> {
  readonly value: Value;
  /** Before the store was asked. */
  readonly sinceMs: number;
}

/** Projects of one statement. */
interface Question {
  readonly projectIds: Set<number>;
  readonly answered: PromiseWithResolvers<void>;
}

/** What is changed holds everywhere a second later: this, and what a statement takes. */
const keptMs = 900;
/** From then on it is asked for in the background, so that nobody waits. */
const refreshAfterMs = 450;
const keptMax = 10_000;
const askedMax = 1_000;

/**
 * One statement at a time, for all projects that were asked for meanwhile: however many projects have
 * attempts, there are no more statements than the store answers, and of a project that has attempts all
 * the time about two a second.
 */
export function createProjectCache<Value>(options: {
  /** At most 1,000 at once. Projects that it leaves out have `none`. */
  read: (projectIds: readonly number[]) => Promise<ReadonlyMap<number, Value>>;
  none: Value;
  clock: Pick<MachineClock, 'monotonicMs'>;
}): ProjectCache<Value> {
  const { none, clock } = options;
  const kept = new Map<number, Kept<Value>>();
  const waiting: Question[] = [];
  let underWay: Question | undefined;

  function ask(projectId: number): Promise<void> {
    if (underWay?.projectIds.has(projectId) === true) return underWay.answered.promise;
    let question = waiting.at(-1);
    if (question === undefined || question.projectIds.size >= askedMax) {
      question = { projectIds: new Set(), answered: Promise.withResolvers() };
      // Who only wanted it to be fresh does not wait for it.
      question.answered.promise.catch(() => undefined);
      waiting.push(question);
    }
    question.projectIds.add(projectId);
    if (underWay === undefined) void work();
    return question.answered.promise;
  }

  async function work(): Promise<void> {
    while ((underWay = waiting.shift()) !== undefined) {
      const { projectIds, answered } = underWay;
      const sinceMs = clock.monotonicMs();
      try {
        const found = await options.read([...projectIds]);
        for (const id of projectIds) keep(id, { value: found.get(id) ?? none, sinceMs });
        answered.resolve();
      } catch (err) {
        answered.reject(err);
      }
    }
  }

  function keep(projectId: number, entry: Kept<Value>): void {
    kept.delete(projectId);
    kept.set(projectId, entry);
    for (const oldest of kept.keys()) {
      if (kept.size <= keptMax) break;
      kept.delete(oldest);
    }
  }

  function known(projectId: number): Value | undefined {
    const entry = kept.get(projectId);
    if (entry === undefined) return undefined;
    const ageMs = clock.monotonicMs() - entry.sinceMs;
    if (ageMs >= refreshAfterMs) void ask(projectId);
    return ageMs < keptMs ? entry.value : undefined;
  }

  return {
    known,
    ask,
    last(projectId) {
      const entry = kept.get(projectId);
      return entry && { value: entry.value, ageMs: clock.monotonicMs() - entry.sinceMs };
    },
    async fresh(projectId) {
      const value = known(projectId);
      if (value !== undefined) return value;
      await ask(projectId);
      return kept.get(projectId)?.value ?? none;
    },
  };
}
