/** What bounds a subject: a token bucket that fills by `perSecond` up to `burst` (whole numbers). */
export interface Allowance {
  /** Of all processes: `project:7`. */
  readonly subject: string;
  readonly perSecond: number;
  /** At least what half a second brings. */
  readonly burst: number;
}

/** The buckets; see store/allowances. */
export interface BlockStore {
  take(
    wishes: readonly (Allowance & { readonly wanted: number })[],
  ): Promise<ReadonlyMap<string, { readonly granted: number; readonly level: number }>>;
}

/** What is left of an allowance, as far as this process knows. */
export interface Remaining {
  /** Whole ones. */
  readonly count: number;
  /** Milliseconds until there is one more, where there is none. */
  readonly nextInMs: number;
}

/** A block is about what this process needs in this time. */
const blockMs = 250;
/** Then what is left of it ends: a process that has become idle comes back with no more than this. */
const endsAfterMs = 500;
/** Somebody who waits for a block waits no longer. */
const patienceMs = 1_000;
const blocksMax = 10_000;

/** What this process knows of one subject. All by its monotonic clock. */
interface Block {
  allowance: Allowance;
  left: number;
  endsAtMs: number;
  /** What the bucket had left when it was asked last. */
  level: number;
  askedAtMs: number;
  /** Not asked before: it had less than was wanted. */
  nextAtMs: number;
  /** Requests since `countedFromMs`, and in the quarter of a second before. */
  demand: number;
  demandBefore: number;
  countedFromMs: number;
  waiting: number;
  asking: Promise<void> | undefined;
}

/**
 * Limits that hold across processes. Each process takes blocks, of what it will need in a quarter of a
 * second, from buckets in the database, all that are wanted at some moment in one statement; within its
 * block it decides by itself, at once. Over any time t all of them together let through no more than
 * `perSecond * t + burst`, and what they had taken within half a second before.
 *
 * Where a bucket has less than is wanted, it is asked again when the quarter is over, or when it has one:
 * until then all is refused without asking. Blocks of a process that dies are lost with it, which is half
 * a second's worth.
 *
 * When the database does not answer, this fails open, within bounds: each process goes on by the rate
 * alone, as if it were the only one. What needs the database fails without it in any case, and what does
 * not is cheap; to refuse all would only hide from callers what is wrong.
 */
export function createAllowances(options: {
  store: BlockStore;
  clock: { monotonicMs(): number };
  onFailure?: (err: unknown) => void;
}) {
  const { store, clock, onFailure } = options;
  const blocks = new Map<string, Block>();
  let wanting = new Set<Block>();
  let gathering: Promise<void> | undefined;

  function blockOf(allowance: Allowance): Block {
    const found = blocks.get(allowance.subject);
    if (found === undefined) {
      if (blocks.size >= blocksMax) forgetEnded();
      const block: Block = {
        allowance,
        left: 0,
        endsAtMs: -Infinity,
        level: allowance.burst,
        askedAtMs: -Infinity,
        nextAtMs: -Infinity,
        demand: 0,
        demandBefore: 0,
        countedFromMs: -Infinity,
        waiting: 0,
        asking: undefined,
      };
      blocks.set(allowance.subject, block);
      return block;
    }
    if (found.allowance !== allowance) {
      const { perSecond, burst } = found.allowance;
      // Changed: what was told of the old one does not hold.
      if (perSecond !== allowance.perSecond || burst !== allowance.burst) {
        found.left = 0;
        found.nextAtMs = -Infinity;
      }
      found.allowance = allowance;
    }
    return found;
  }

  function forgetEnded(): void {
    const nowMs = clock.monotonicMs();
    for (const [subject, { endsAtMs, nextAtMs, asking }] of blocks) {
      if (endsAtMs < nowMs && nextAtMs < nowMs && asking === undefined) blocks.delete(subject);
    }
  }

  /** Whether there is one; undefined: only the bucket can tell. */
  function has(block: Block, nowMs: number): boolean | undefined {
    if (block.left >= 1 && nowMs < block.endsAtMs) return true;
    return nowMs < block.nextAtMs ? false : undefined;
  }

  function use(block: Block, nowMs: number): void {
    block.left -= 1;
    // In time: whoever comes when it is used up need not wait.
    const isLow = block.left * 2 < expectedOf(block) || nowMs + blockMs > block.endsAtMs;
    if (isLow && block.asking === undefined && nowMs >= block.nextAtMs) void ask(block);
  }

  function count(block: Block, nowMs: number): void {
    const elapsedMs = nowMs - block.countedFromMs;
    if (elapsedMs >= blockMs) {
      block.demandBefore = elapsedMs < 2 * blockMs ? block.demand : 0;
      block.demand = 0;
      block.countedFromMs = nowMs;
    }
    block.demand += 1;
  }

  function ask(block: Block): Promise<void> {
    if (block.asking === undefined) {
      wanting.add(block);
      gathering ??= Promise.resolve().then(askForAll);
      block.asking = gathering.finally(() => {
        block.asking = undefined;
      });
    }
    return block.asking;
  }

  async function askForAll(): Promise<void> {
    const some = [...wanting];
    wanting = new Set();
    gathering = undefined;
    const askedAtMs = clock.monotonicMs();
    const wishes = some.map((block) => ({
      ...block.allowance,
      wanted: wantedOf(block, askedAtMs),
    }));
    try {
      const granted = await within(patienceMs, store.take(wishes));
      for (const [index, block] of some.entries()) {
        const grant = granted.get(block.allowance.subject) ?? { granted: 0, level: 0 };
        settle(block, { ...grant, wanted: wishes[index]?.wanted ?? 0, askedAtMs });
      }
    } catch (err) {
      onFailure?.(err);
      for (const block of some) {
        const own = Math.max(1, (block.allowance.perSecond * blockMs) / 1_000);
        settle(block, { granted: own, level: 0, wanted: Infinity, askedAtMs: clock.monotonicMs() });
      }
    }
  }

  function wantedOf(block: Block, nowMs: number): number {
    const { burst } = block.allowance;
    const left = nowMs < block.endsAtMs ? block.left : 0;
    const missing = Math.max(1, block.waiting, expectedOf(block) - left);
    return Math.min(Math.floor(burst), Math.ceil(missing));
  }

  function settle(
    block: Block,
    grant: { granted: number; level: number; wanted: number; askedAtMs: number },
  ): void {
    const { granted, level, wanted, askedAtMs } = grant;
    const { perSecond } = block.allowance;
    const nowMs = clock.monotonicMs();
    const kept = nowMs < block.endsAtMs ? block.left : 0;
    block.left = kept + granted;
    block.endsAtMs = askedAtMs + endsAfterMs;
    block.level = level;
    block.askedAtMs = askedAtMs;
    const nextInMs = Math.max(blockMs, ((1 - level) / perSecond) * 1_000);
    block.nextAtMs = granted < wanted ? askedAtMs + nextInMs : -Infinity;
  }

  /** One of each, or of none; undefined: some has to be asked for first. */
  function takeAtOnce(
    allowances: readonly Allowance[],
    nowMs = clock.monotonicMs(),
  ): boolean | undefined {
    let isKnown = true;
    for (const allowance of allowances) {
      const block = blockOf(allowance);
      const answer = has(block, nowMs);
      if (answer === false) return false;
      if (answer === undefined) isKnown = false;
    }
    if (!isKnown) return undefined;
    for (const allowance of allowances) use(blockOf(allowance), nowMs);
    return true;
  }

  async function takeAsking(allowances: readonly Allowance[]): Promise<boolean> {
    // Of two, one may have ended when the other has come.
    for (let round = 0; round < 3; round++) {
      const answer = takeAtOnce(allowances);
      if (answer !== undefined) return answer;
      const nowMs = clock.monotonicMs();
      const asked = allowances
        .map(blockOf)
        .filter((block) => has(block, nowMs) === undefined)
        .map(async (block) => {
          block.waiting += 1;
          await ask(block);
          block.waiting -= 1;
        });
      await Promise.all(asked);
    }
    return takeAtOnce(allowances) === true;
  }

  return {
    /** One of each of these, or of none where one has none left. At once, but for the first of a block. */
    take(allowances: readonly Allowance[]): boolean | Promise<boolean> {
      const nowMs = clock.monotonicMs();
      for (const allowance of allowances) count(blockOf(allowance), nowMs);
      return takeAtOnce(allowances, nowMs) ?? takeAsking(allowances);
    },
    /** Those in the bucket are as of the last block: other processes have taken some since. */
    remaining(allowance: Allowance): Remaining {
      const block = blockOf(allowance);
      const nowMs = clock.monotonicMs();
      const { perSecond, burst } = allowance;
      const since = Math.min(Math.max(0, nowMs - block.askedAtMs), 86_400_000);
      const inBucket = Math.min(burst, block.level + (since * perSecond) / 1_000);
      const own = nowMs < block.endsAtMs ? Math.max(0, block.left) : 0;
      // What it may not ask for yet is not there.
      if (own < 1 && nowMs < block.nextAtMs) return { count: 0, nextInMs: block.nextAtMs - nowMs };
      const count = Math.min(Math.floor(burst), Math.floor(own + inBucket));
      return { count, nextInMs: count >= 1 ? 0 : ((1 - own - inBucket) / perSecond) * 1_000 };
    },
  };
}

/** What a quarter of a second will take, by what the last ones took; no more than it may. */
function expectedOf({ allowance, demand, demandBefore }: Block): number {
  const share = Math.ceil((allowance.perSecond * blockMs) / 1_000);
  return Math.min(share, Math.max(demand, demandBefore));
}

export type Allowances = ReturnType<typeof createAllowances>;

async function within<Value>(ms: number, promise: Promise<Value>): Promise<Value> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
