import { randomUUID } from 'node:crypto';
import type { MachineClock } from '../core/clock.ts';
import type { ProjectLimits, Quotas } from '../core/limits.ts';
import type { Ledger } from '../core/quotaLedger.ts';
import type { NewTimer } from '../core/timer.ts';
import type { QuotaRules } from '../core/timerQuotas.ts';
import type { Logger } from '../telemetry/log.ts';
import { createAllowances, type BlockStore } from './allowances.ts';
import { createQuotas, type LedgerStore } from './quotas.ts';
import { createTimerLimits } from './timers.ts';
import { createUsage } from './usage.ts';

/** What limits need of the store; see store/limitStores. */
export interface LimitStores {
  readonly limits: { read(projectId: number): Promise<ProjectLimits | undefined> };
  readonly ledgers: LedgerStore & {
    read(projectId: number): Promise<{ ledger: Ledger; nowMs: number } | undefined>;
    countLive(projectId: number, atMost: number): Promise<number>;
  };
  readonly allowances: BlockStore;
}

/** Rates and quotas of callers, over one database and for all its processes. */
export function createLimits<Created>(options: {
  stores: LimitStores;
  clock: MachineClock;
  log: Logger;
  /** As known of the caller's project; undefined for none. */
  quotasOf: (projectId: number) => Quotas | undefined;
  rules: QuotaRules;
  replayOf: (timer: NewTimer) => Promise<Created | undefined>;
}) {
  const { stores, clock, log, quotasOf, rules, replayOf } = options;
  const { limits, ledgers } = stores;
  const keeper = createQuotas({
    store: ledgers,
    clock,
    holder: randomUUID(),
    onFailure: (err) => log.warn({ err }, 'quotas could not be asked for or reported'),
  });
  return {
    timers: createTimerLimits({ keeper, quotasOf, rules, replayOf }),
    allowances: createAllowances({
      store: stores.allowances,
      clock,
      onFailure: (err) => log.warn({ err }, 'no allowance was to be had: each process for itself'),
    }),
    usage: createUsage({
      store: {
        limits: limits.read,
        ledger: ledgers.read,
        countLive: (projectId) => ledgers.countLive(projectId, Number.MAX_SAFE_INTEGER),
      },
      clock,
    }),
    /** Gives back what is held of quotas. */
    stop: keeper.stop,
  };
}
