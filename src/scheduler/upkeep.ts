import type { Chore } from './chores.ts';

type Run = Chore['run'];

/** All chores of a process, each with how often it is done and by whom. */
export function upkeep(runs: {
  partitions: Run;
  retention: Run;
  idempotencyKeys: Run;
  auditChain: Run;
  tokensUsed: Run;
  allowances: Run;
  giveBacks: Run;
  /** What a notification would have told, where none arrives. */
  requests: Run;
}): readonly Chore[] {
  return [
    { name: 'partitions', everyMs: 600_000, run: runs.partitions },
    {
      name: 'retention',
      everyMs: 60_000,
      firstAfterMs: 2_000,
      lease: true,
      run: runs.retention,
    },
    { name: 'idempotency-keys', everyMs: 60_000, run: runs.idempotencyKeys },
    { name: 'audit-chain', everyMs: 2_000, lease: true, run: runs.auditChain },
    { name: 'tokens-used', everyMs: 30_000, run: runs.tokensUsed },
    { name: 'allowances', everyMs: 60_000, run: runs.allowances },
    { name: 'give-backs', everyMs: 60_000, run: runs.giveBacks },
    { name: 'requests', everyMs: 250, run: runs.requests },
  ];
}
