import { test } from 'node:test';
import { changesUnderFaults } from './changesUnderFaults.ts';
import { killCycles } from './killCycles.ts';
import { limitsOfDestinations } from './limitsOfDestinations.ts';
import { lostReplies } from './lostReplies.ts';
import { pausesOfProjects } from './pausesOfProjects.ts';
import { randomPauses, staleOutcome, wakesAfterTakeOver } from './pauses.ts';
import { poisonTimer } from './poison.ts';
import { postgresOutage } from './postgresOutage.ts';
import { apiAndScheduler, sharedWork } from './processes.ts';
import { slowReceivers } from './slowReceivers.ts';
import { killAtEachStage } from './stages.ts';

// One file, so that they run one after another: each wants the machine for itself. Sizes can be
// set, such as BELFRY_FAULT_CYCLES=3; test/e2e runs the same scenarios at a size for every day.

const outages = sizeOf('BELFRY_FAULT_OUTAGES', 4);

void test('kill -9 of everything in the middle of 2,000 timers firing loses none', (t) =>
  killCycles(t, {
    cycles: sizeOf('BELFRY_FAULT_CYCLES', 20),
    timers: sizeOf('BELFRY_FAULT_TIMERS', 2_000),
  }));

// Some five minutes, which is what a test has as a rule.
const longMs = 900_000;
void test(
  'what was answered to a change is true, whatever was killed, stopped or restarted',
  { timeout: longMs },
  (t) => {
    const kinds = ['kill', 'pause', 'kill', 'pause', 'postgres'] as const;
    const faults = Array.from({ length: sizeOf('BELFRY_FAULT_CHANGES', 45) }, (_, index) => {
      return kinds[index % kinds.length] ?? 'kill';
    });
    return changesUnderFaults(t, { processes: 3, names: 25, faults });
  },
);

void test('kill -9 at each stage of a timer', (t) => killAtEachStage(t));

void test('a reply lost between COMMIT and the answer', (t) =>
  lostReplies(t, { repeats: sizeOf('BELFRY_FAULT_REPEATS', 5) }));

void test('a process that wakes after its lease cannot record an outcome', () => staleOutcome());

void test('a process that wakes after its lease starts nothing that was cancelled', () =>
  wakesAfterTakeOver());

void test('SIGSTOP at random instants, for about as long as the lease', (t) =>
  randomPauses(t, { cycles: sizeOf('BELFRY_FAULT_PAUSES', 15) }));

void test('PostgreSQL stops at once under load and comes back', (t) =>
  postgresOutage(t, { how: 'crash', times: outages, outageMs: 2_500 }));

void test('PostgreSQL crashes and is back within the heartbeat’s life', (t) =>
  postgresOutage(t, { how: 'crash', times: outages, outageMs: 300 }));

void test('PostgreSQL hangs for longer than a heartbeat’s life', (t) =>
  postgresOutage(t, { how: 'hang', times: outages, outageMs: 4_000 }));

void test('kill -9 while a project is being paused and resumed: nothing starts meanwhile, none is lost', (t) =>
  pausesOfProjects(t, {
    cycles: sizeOf('BELFRY_FAULT_PROJECT_PAUSES', 12),
    timers: sizeOf('BELFRY_FAULT_TIMERS', 2_000),
  }));

void test('kill -9 while timers wait for the concurrency of a destination: it holds, and none is lost', (t) =>
  limitsOfDestinations(t, {
    cycles: sizeOf('BELFRY_FAULT_DESTINATIONS', 6),
    timers: sizeOf('BELFRY_FAULT_DESTINATION_TIMERS', 300),
  }));

void test('two schedulers share the work without a duplicate', (t) =>
  sharedWork(t, { timers: sizeOf('BELFRY_FAULT_SHARED', 5_000) }));

void test('an API process and a scheduler process work as one', (t) => apiAndScheduler(t));

void test('a timer that kills its process ends, its bystanders are delivered', (t) =>
  poisonTimer(t, { bystanders: 400, dueWithPoison: 0 }));

void test('bystanders that are due at the same instant are delivered too', (t) =>
  poisonTimer(t, { bystanders: 100, dueWithPoison: 50 }));

void test('5,000 receivers at once that drip or say nothing: each attempt ends, memory is bounded', (t) =>
  slowReceivers(t, {
    count: sizeOf('BELFRY_FAULT_RECEIVERS', 5_000),
    timeoutMs: 5_000,
    rounds: 2,
    lateMsMax: 15_000,
    grownMbMax: 400,
  }));

function sizeOf(name: string, fallback: number): number {
  const text = process.env[name];
  return text === undefined ? fallback : Number(text);
}
