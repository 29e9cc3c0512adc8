import type { Chore, Turn } from '../scheduler/chores.ts';

/** What is done regularly, of services that app.ts has made. */
export function upkeep(services: {
  readonly preparePartitions: () => Promise<unknown>;
  readonly retention: { run(turn: Turn): Promise<unknown> };
  readonly forgetKeys: () => Promise<unknown>;
  readonly audit: { extendChain(mayGoOn: () => Promise<boolean>): Promise<void> };
  readonly markTokensUsed: () => Promise<void>;
  readonly registerSecretKey: () => Promise<unknown>;
  readonly forgetAllowances: () => Promise<unknown>;
  readonly giveBacks: { forget(): Promise<void> };
  readonly answerRequests: () => Promise<unknown>;
  /** Of a process that fires timers. */
  readonly lanes:
    | {
        refresh(): Promise<unknown>;
        work(): Promise<void>;
        countProcesses(): Promise<void>;
      }
    | undefined;
  readonly forgetLanes: () => Promise<void>;
  /** Of a process that fires timers. */
  readonly destinations: { refresh(): Promise<void> } | undefined;
  readonly signing: { refresh(): Promise<void> };
}): Chore[] {
  const { retention, audit, giveBacks, lanes, destinations, signing } = services;
  return [
    { name: 'partitions', everyMs: 600_000, run: services.preparePartitions },
    { name: 'retention', everyMs: 60_000, firstAfterMs: 2_000, lease: true, run: retention.run },
    { name: 'idempotency-keys', everyMs: 60_000, run: services.forgetKeys },
    {
      name: 'audit-chain',
      everyMs: 2_000,
      lease: true,
      // The chain is to be at most 5 s behind, whoever dies; two that extend it at once are told apart.
      leaseTtlMs: 2_500,
      run: (turn) => audit.extendChain(turn.mayGoOn),
    },
    { name: 'tokens-used', everyMs: 30_000, run: services.markTokensUsed },
    { name: 'secret-keys', everyMs: 60_000, run: services.registerSecretKey },
    { name: 'allowances', everyMs: 60_000, run: services.forgetAllowances },
    { name: 'give-backs', everyMs: 60_000, run: () => giveBacks.forget() },
    { name: 'requests', everyMs: 250, run: services.answerRequests },
    { name: 'open-lanes', everyMs: 60_000, run: services.forgetLanes },
    ...(lanes === undefined
      ? []
      : [
          // Within a second of a pause no process starts anything of the project.
          { name: 'lanes', everyMs: 250, run: lanes.refresh },
          { name: 'lane-work', everyMs: 50, run: lanes.work },
          { name: 'living-processes', everyMs: 1_000, run: lanes.countProcesses },
          // What is 0.9 s old attempts have to wait for.
          { name: 'signing-keys', everyMs: 600, run: signing.refresh },
        ]),
    ...(destinations === undefined
      ? []
      : // Within a second of a change all attempts are made by it.
        [{ name: 'destinations', everyMs: 500, run: destinations.refresh }]),
  ];
}
