import { test } from 'node:test';
import { changesUnderFaults } from '../faults/changesUnderFaults.ts';

// At a size for every day; `npm run test:faults` runs it in full.

void test('what was answered to a change is true, whatever was killed, stopped or restarted', (t) =>
  changesUnderFaults(t, {
    processes: 2,
    names: 12,
    faults: ['kill', 'pause', 'postgres', 'kill', 'pause'],
  }));
