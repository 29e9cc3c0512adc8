import { test } from 'node:test';
import { killCycles } from '../faults/killCycles.ts';
import { limitsOfDestinations } from '../faults/limitsOfDestinations.ts';
import { pausesOfProjects } from '../faults/pausesOfProjects.ts';
import { randomPauses, staleOutcome, wakesAfterTakeOver } from '../faults/pauses.ts';
import { poisonTimer } from '../faults/poison.ts';
import { postgresOutage } from '../faults/postgresOutage.ts';
import { apiAndScheduler, sharedWork } from '../faults/processes.ts';

// The fault tests at a size for every day; `npm run test:faults` runs them in full.

void test('kill -9 of everything in the middle of 1,000 timers firing loses none', (t) =>
  killCycles(t, { cycles: 2, timers: 1_000 }));

void test('a process that wakes after its lease cannot record an outcome', () => staleOutcome());

void test('a process that wakes after its lease starts nothing that was cancelled', () =>
  wakesAfterTakeOver());

void test('SIGSTOP at random instants, for about as long as the lease', (t) =>
  randomPauses(t, { cycles: 2 }));

void test('PostgreSQL stops at once under load and comes back', (t) =>
  postgresOutage(t, { how: 'crash', times: 1, outageMs: 2_500 }));

void test('kill -9 while a project is being paused and resumed: nothing starts meanwhile, none is lost', (t) =>
  pausesOfProjects(t, { cycles: 2, timers: 1_000 }));

void test('kill -9 while timers wait for the concurrency of a destination: it holds, and none is lost', (t) =>
  limitsOfDestinations(t, { cycles: 2, timers: 200 }));

void test('two schedulers share the work without a duplicate', (t) =>
  sharedWork(t, { timers: 2_000 }));

void test('an API process and a scheduler process work as one', (t) => apiAndScheduler(t));

void test('a timer that kills its process ends, its bystanders are delivered', (t) =>
  poisonTimer(t, { bystanders: 100, dueWithPoison: 20 }));
