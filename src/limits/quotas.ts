import { BelfryError } from '../core/errors.ts';
import { countsTimers, quotaExceeded, type Quotas } from '../core/limits.ts';
import type { Granted, Wish } from '../core/quotaLedger.ts';

/** The ledgers; see store/quotaLedgers. */
export interface LedgerStore {
  take(
    wishes: readonly (Wish & { readonly projectId: number })[],
  ): Promise<readonly (Granted | undefined)[]>;
  recount(projectId: number, countId: number, atMost: number): Promise<void>;
  kept(projectIds: readonly number[]): Promise<readonly number[]>;
}

/** What a timer adds. */
export type Addition = 'create' | 'revive';

/** A timer that may be created: to be told what came of it, once. */
export type Settle = (isAdded: boolean) => void;

/** How often is reported, and how long timers in stock stay there unused. */
const reportMs = 250;
/** So long a caller waits for a count rather than be refused. */
const countWaitMs = 150;
const refusedMs = 250;
const stockMax = 10_000;
/** Well before the ledger takes this process for dead: one that was paused uses nothing any more. */
const stockEndsAfterMs = 5_000;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (err: unknown) => void;
}

/** What a project adds in one of the ways: what is tried again is no create of its day. */
interface Account {
  readonly projectId: number;
  readonly addition: Addition;
  quotas: Quotas;
  stock: number;
  stockEndsAtMs: number;
  underWay: number;
  added: number;
  ended: number;
  demand: number;
  demandBefore: number;
  waiting: Waiting[];
  refusedUntilMs: number;
  refusal: BelfryError | undefined;
  /** Until when those who wait may wait for a count, unless there was one. */
  patienceEndsAtMs: number;
  isCounting: boolean;
  isPaused: boolean;
}

/**
 * Holds what projects create against their counted quotas, for all processes together, by the ledger of
 * core/quotaLedger.ts: in stock a process has what it will create in a quarter of a second, and asks,
 * with all that wait in one transaction, when that is used up. A project without such quotas costs a
 * look into an empty map.
 */
export function createQuotas(options: {
  store: LedgerStore;
  clock: { monotonicMs(): number };
  /** Names this process. */
  holder: string;
  onFailure: (err: unknown) => void;
}) {
  const { store, clock, holder, onFailure } = options;
  /** By project, those of what is tried again under its negative. */
  const accounts = new Map<number, Account>();
  /** Ended timers of projects that have no account here. */
  let endedElsewhere = new Map<number, number>();
  let running: Promise<void> | undefined;
  let reportTimer: NodeJS.Timeout | undefined;
  let isStopped = false;

  function accountOf(projectId: number, quotas: Quotas, addition: Addition): Account {
    const key = keyOf({ projectId, addition });
    let account = accounts.get(key);
    if (account === undefined) {
      account = {
        projectId,
        addition,
        quotas,
        stock: 0,
        stockEndsAtMs: -Infinity,
        underWay: 0,
        added: 0,
        ended: 0,
        demand: 0,
        demandBefore: 0,
        waiting: [],
        refusedUntilMs: -Infinity,
        refusal: undefined,
        patienceEndsAtMs: -Infinity,
        isCounting: false,
        isPaused: false,
      };
      accounts.set(key, account);
    } else if (account.quotas !== quotas) {
      const { liveTimers, createsPerDay } = account.quotas;
      if (liveTimers !== quotas.liveTimers || createsPerDay !== quotas.createsPerDay) {
        account.stock = 0;
        account.refusedUntilMs = -Infinity;
      }
      account.quotas = quotas;
    }
    return account;
  }

  function settleOf(account: Account): Settle {
    return (isAdded) => {
      account.underWay -= 1;
      if (isAdded) account.added += 1;
      else account.stock += 1;
      reportLater();
    };
  }

  /**
   * Leave to add a timer to a project.
   * @throws BelfryError `quota_exceeded`, `store_unavailable`: without the database nothing is created.
   */
  function hold(
    projectId: number,
    quotas: Quotas,
    addition: Addition,
  ): Settle | Promise<Settle> | undefined {
    const isCounted =
      addition === 'create' ? countsTimers(quotas) : quotas.liveTimers !== undefined;
    if (!isCounted) return undefined;
    const account = accountOf(projectId, quotas, addition);
    account.demand += 1;
    if (account.stock > 0 && clock.monotonicMs() >= account.stockEndsAtMs) account.stock = 0;
    if (account.stock > 0) {
      account.stock -= 1;
      account.underWay += 1;
      if (account.stock < account.demandBefore / 2) later();
      else reportLater();
      return settleOf(account);
    }
    return waitFor(account);
  }

  async function waitFor(account: Account): Promise<Settle> {
    if (account.refusal !== undefined && clock.monotonicMs() < account.refusedUntilMs) {
      throw account.refusal;
    }
    await new Promise<void>((resolve, reject) => {
      if (account.waiting.length === 0) {
        account.patienceEndsAtMs = clock.monotonicMs() + countWaitMs;
      }
      account.waiting.push({ resolve, reject });
      later();
    });
    return settleOf(account);
  }

  /** One round at a time: a report says all that was so when it was sent. */
  function later(): void {
    if (running !== undefined || isStopped) return;
    running = new Promise<void>((resolve) => setImmediate(resolve))
      .then(round)
      .catch(onFailure)
      .finally(() => {
        running = undefined;
        const isWanted = [...accounts.values()].some(
          ({ waiting, isCounting, isPaused }) => waiting.length > 0 && !isCounting && !isPaused,
        );
        if (isWanted) later();
        else reportLater();
      });
  }

  function reportLater(): void {
    if (reportTimer !== undefined || isStopped) return;
    const hasNews = [...accounts.values()].some(isOpen) || endedElsewhere.size > 0;
    if (!hasNews) return;
    reportTimer = setTimeout(() => {
      reportTimer = undefined;
      for (const account of accounts.values()) {
        account.demandBefore = account.demand;
        account.demand = 0;
      }
      later();
    }, reportMs);
    reportTimer.unref();
  }

  async function round(): Promise<void> {
    await adoptEnded();
    const asking = [...accounts.values()].filter(isOpen);
    if (asking.length === 0) return;
    const sentAtMs = clock.monotonicMs();
    const sent = asking.map((account) => takeReport(account, holder));
    let granted: readonly (Granted | undefined)[];
    try {
      granted = await store.take(sent);
    } catch (err) {
      for (const [index, account] of asking.entries()) {
        const report = sent[index];
        // If it was committed all the same, it is reported twice: more than there is, never less.
        if (report !== undefined) putBack(account, report);
        for (const { reject } of account.waiting.splice(0)) reject(err);
      }
      throw err;
    }
    for (const [index, account] of asking.entries()) {
      const result = granted[index];
      account.stockEndsAtMs = sentAtMs + stockEndsAfterMs;
      if (result !== undefined) apply(account, result);
      else for (const { reject } of account.waiting.splice(0)) reject(gone(account.projectId));
      if (!isOpen(account)) accounts.delete(keyOf(account));
    }
  }

  function apply(account: Account, result: Granted): void {
    account.stock += result.granted;
    while (account.stock > 0) {
      const next = account.waiting.shift();
      if (next === undefined) break;
      account.stock -= 1;
      account.underWay += 1;
      next.resolve();
    }
    if (result.countId !== null) {
      void count(account, result.countId);
      return;
    }
    // Who has come meanwhile was not asked for: the next round does.
    if (account.waiting.length === 0 || result.short === null) return;
    if (account.isCounting || account.isPaused) return;
    const nowMs = clock.monotonicMs();
    if (result.short === 'liveTimers' && nowMs + result.recountInMs < account.patienceEndsAtMs) {
      // Soon it may be counted: perhaps some have ended.
      pause(account, result.recountInMs);
      return;
    }
    account.refusal = refusalOf(account.quotas, result);
    account.refusedUntilMs = nowMs + Math.min(refusedMs, Math.max(20, result.recountInMs));
    for (const { reject } of account.waiting.splice(0)) reject(account.refusal);
  }

  async function count(account: Account, countId: number): Promise<void> {
    const { projectId, quotas } = account;
    account.isCounting = true;
    try {
      await store.recount(projectId, countId, (quotas.liveTimers ?? 0) + stockMax);
    } catch (err) {
      onFailure(err);
      for (const { reject } of account.waiting.splice(0)) reject(err);
    }
    account.isCounting = false;
    account.patienceEndsAtMs = -Infinity;
    if (account.waiting.length > 0) later();
  }

  function pause(account: Account, ms: number): void {
    account.isPaused = true;
    setTimeout(() => {
      account.isPaused = false;
      later();
    }, ms);
  }

  /** Of the timers that ended here, those of projects that are kept a ledger of count. */
  async function adoptEnded(): Promise<void> {
    if (endedElsewhere.size === 0) return;
    const ended = endedElsewhere;
    endedElsewhere = new Map();
    for (const projectId of await store.kept([...ended.keys()])) {
      const quotas = accounts.get(projectId)?.quotas ?? {};
      accountOf(projectId, quotas, 'create').ended += ended.get(projectId) ?? 0;
    }
  }

  return {
    hold,
    /** A live timer has ended, whoever did it. */
    ended(projectId: number): void {
      const account = accounts.get(projectId);
      if (account !== undefined) account.ended += 1;
      else endedElsewhere.set(projectId, (endedElsewhere.get(projectId) ?? 0) + 1);
      if (reportTimer === undefined) reportLater();
    },
    /** Gives back what is held, and reports what is not reported yet. */
    async stop(): Promise<void> {
      isStopped = true;
      clearTimeout(reportTimer);
      await running;
      for (const account of accounts.values()) {
        account.stock = 0;
        account.demand = 0;
        account.demandBefore = 0;
      }
      await round().catch(onFailure);
    },
  };
}

export type QuotaKeeper = ReturnType<typeof createQuotas>;

function keyOf({ projectId, addition }: Pick<Account, 'projectId' | 'addition'>): number {
  return addition === 'create' ? projectId : -projectId;
}

function isOpen({ stock, underWay, added, ended, waiting }: Account): boolean {
  return stock + underWay + added + ended + waiting.length > 0;
}

/** Stock that nobody has used since the report before is given back. */
function takeReport(account: Account, holder: string): Wish & { readonly projectId: number } {
  const { projectId, quotas, added, ended, waiting } = account;
  const isCreate = account.addition === 'create';
  const recent = Math.max(account.demand, account.demandBefore);
  if (recent === 0) account.stock = 0;
  account.added = 0;
  account.ended = 0;
  return {
    projectId,
    holder: isCreate ? holder : `${holder}/revive`,
    held: account.underWay + account.stock,
    created: isCreate ? added : 0,
    revived: isCreate ? 0 : added,
    ended,
    wanted: waiting.length,
    ahead: Math.max(0, Math.min(stockMax, recent - waiting.length) - account.stock),
    liveMax: quotas.liveTimers ?? null,
    createsMax: isCreate ? (quotas.createsPerDay ?? null) : null,
  };
}

function putBack(account: Account, { created, revived, ended }: Wish): void {
  account.added += created + revived;
  account.ended += ended;
}

function refusalOf({ liveTimers, createsPerDay }: Quotas, result: Granted): BelfryError {
  return result.short === 'createsPerDay'
    ? quotaExceeded('createsPerDay', createsPerDay ?? 0, result.created)
    : quotaExceeded('liveTimers', liveTimers ?? 0, result.live);
}

function gone(projectId: number): BelfryError {
  return new BelfryError('project_not_found', `there is no project ${projectId}`);
}
